"""Files at addresses such as ``s3://bucket/a.jpg`` and ``http://host/a.jpg``, by fsspec."""

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar('T')
#: Seconds before another try: an image that is skipped for a dropped connection would change the run.
_WAITS = (1, 4)


def read(address: str) -> bytes:
    """Read a file.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if it cannot be read in three tries.
        ModuleNotFoundError: without fsspec, or what it needs for this protocol.
    """
    files, path = _files(address)
    return _tried(address, lambda: files.cat_file(path))


def is_folder(address: str) -> bool:
    """Tell whether something is below an address; errors as for :func:`read`."""
    files, path = _files(address)
    return _tried(address, lambda: bool(files.isdir(path)))


def exists(address: str) -> bool:
    """Tell whether there is a file or a folder; errors as for :func:`read`."""
    files, path = _files(address)
    return _tried(address, lambda: bool(files.exists(path)))


def files_below(address: str) -> Iterator[str]:
    """Yield the addresses of the files at any depth, but for those with a leading dot; errors as for :func:`read`."""
    files, path = _files(address)
    for found in _tried(address, lambda: list(files.find(path))):
        if not found.rstrip('/').rpartition('/')[2].startswith('.'):
            yield files.unstrip_protocol(found)


def _files(address: str) -> tuple[Any, str]:
    """The file system of an address, this process's own: fsspec keeps them, and not over a fork."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise ModuleNotFoundError(f'"{address}" is read by fsspec: pip install "detco-mm[remote]" ({error})') from error
    except ValueError as error:
        raise ValueError(f'"{address}": {error}; give a path, or an address that fsspec knows') from error


def _tried(address: str, ask: Callable[[], T]) -> T:
    for wait in (*_WAITS, None):
        try:
            return ask()
        except FileNotFoundError:
            raise FileNotFoundError(f'no file at "{address}"') from None
        except ImportError:
            raise
        except Exception as error:  # each protocol has errors of its own, and few of them are OSErrors
            if wait is None or isinstance(error, PermissionError):
                said = ' '.join(str(error).split()) or type(error).__name__
                raise OSError(f'"{address}" cannot be read: {said}') from error
            time.sleep(wait)
    raise AssertionError
