"""Weights in and out, each verified."""

from detco_mm.checkpoints.reading import load_checkpoint

from .export import export_backbone, is_exported, load_backbone, read_backbone, verify_backbone
from .recognition import Found, recognise
from .reference import from_reference
from .released import from_released
from .start import StartFrom, find_start, start_pretraining, use_backbone

__all__ = [
    'Found',
    'StartFrom',
    'find_start',
    'recognise',
    'start_pretraining',
    'use_backbone',
    'export_backbone',
    'from_reference',
    'from_released',
    'is_exported',
    'load_backbone',
    'load_checkpoint',
    'read_backbone',
    'verify_backbone',
]
