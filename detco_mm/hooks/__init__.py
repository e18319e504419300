"""Hooks of a pre-training run."""

from .run_checks import RunChecks

__all__ = ['RunChecks']
