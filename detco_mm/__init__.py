"""detco_mm: DetCo pre-training as an extension of MMSelfSup. Importing it checks and repairs the stack."""

from . import stack, upstream
from .version import __version__

stack.check_versions()
upstream.repair()

__all__ = ['__version__']
