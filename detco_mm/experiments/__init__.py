"""Chains of training runs that are compared with each other."""
