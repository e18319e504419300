"""Hooks of pre-training and fine-tuning runs."""

from .count_skipped import CountSkipped
from .precise_bn import PreciseBN
from .run_checks import RunChecks
from .stop_on_non_finite import NonFiniteError, StopOnNonFinite
from .stop_on_signal import StopOnSignal
from .watch_contrast import WatchContrast

__all__ = [
    'CountSkipped',
    'NonFiniteError',
    'PreciseBN',
    'RunChecks',
    'StopOnNonFinite',
    'StopOnSignal',
    'WatchContrast',
]
