"""Hooks of pre-training and fine-tuning runs."""

from .count_skipped import CountSkipped
from .match_layout import MatchLayout
from .precise_bn import PreciseBN
from .run_checks import RunChecks
from .stop_on_signal import StopOnSignal

__all__ = ['CountSkipped', 'MatchLayout', 'PreciseBN', 'RunChecks', 'StopOnSignal']
