"""Hooks of pre-training and fine-tuning runs."""

from .channels_last import ChannelsLast
from .check_images import CheckImages
from .check_weights import CheckWeights
from .count_skipped import CountSkipped
from .match_layout import MatchLayout
from .overview import Overview
from .precise_bn import PreciseBN
from .probe import Probe
from .record_pixels import RecordPixels
from .reestimate_bn import ReestimateBN
from .run_checks import RunChecks
from .safe_checkpoint import SafeCheckpoint
from .show_progress import ShowProgress
from .stop_on_non_finite import StopOnNonFinite
from .stop_on_signal import StopOnSignal
from .watch_contrast import WatchContrast
from .watchdog import Watchdog
from .write_report import WriteReport

__all__ = [
    'ChannelsLast',
    'CheckImages',
    'CheckWeights',
    'CountSkipped',
    'MatchLayout',
    'Overview',
    'PreciseBN',
    'Probe',
    'RecordPixels',
    'ReestimateBN',
    'RunChecks',
    'SafeCheckpoint',
    'ShowProgress',
    'StopOnNonFinite',
    'StopOnSignal',
    'WatchContrast',
    'Watchdog',
    'WriteReport',
]
