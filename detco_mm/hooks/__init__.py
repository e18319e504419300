"""Hooks of a pre-training run."""

from .count_skipped import CountSkipped
from .run_checks import RunChecks

__all__ = ['CountSkipped', 'RunChecks']
