"""detco_mm: DetCo pre-training as an extension of MMSelfSup. Importing it checks and repairs the stack."""

from .compat import ops, repairs, versions
from .version import __version__

versions.check_versions()
ops.install()
repairs.repair()

__all__ = ['__version__']
