"""Weights in and out, each verified."""

from .export import export_backbone, read_backbone, verify_backbone

__all__ = ['export_backbone', 'read_backbone', 'verify_backbone']
