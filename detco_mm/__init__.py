"""detco_mm: DetCo pre-training as an extension of MMSelfSup. Importing it checks and repairs the stack."""

import importlib
from typing import Any

from .compat import versions

versions.check_versions()
versions.check_opencv()

from .compat import ops, repairs  # noqa: E402  (they import what is checked above)
from .version import __version__  # noqa: E402  (as above)

ops.install()
repairs.repair()

#: What a script needs, imported when it is asked for, with all of the stack.
_LATE = {'pretrain': 'planning', 'export_backbone': 'weights'}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'detco_mm' has no attribute '{name}'")
    return getattr(importlib.import_module(f'.{_LATE[name]}', __name__), name)


__all__ = ['__version__', 'export_backbone', 'pretrain']  # noqa: F822  (as above)
