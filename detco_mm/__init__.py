"""detco_mm: DetCo pre-training as an extension of MMSelfSup. Importing it checks and repairs the stack."""

from .compat import versions

versions.check_versions()
versions.check_opencv()

from .compat import ops, repairs  # noqa: E402  (they import what is checked above)
from .version import __version__  # noqa: E402  (as above)

ops.install()
repairs.repair()

__all__ = ['__version__']
