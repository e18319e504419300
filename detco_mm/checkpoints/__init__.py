"""Checkpoint files: written atomically, sealed, found again, and read without executing anything."""

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.finding import newest_intact_checkpoint
from detco_mm.checkpoints.reading import load_checkpoint, safe_loading
from detco_mm.checkpoints.sealing import find_corruption

__all__ = ['find_corruption', 'load_checkpoint', 'newest_intact_checkpoint', 'safe_loading', 'write_atomically']
