"""Hooks of pre-training and fine-tuning runs."""

from .count_skipped import CountSkipped
from .precise_bn import PreciseBN
from .run_checks import RunChecks

__all__ = ['CountSkipped', 'PreciseBN', 'RunChecks']
