"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: str | Path, *parts: bytes | memoryview | str) -> None:
    """Write a file so that a stop at any moment leaves the old one or the new one, never a part.

    Args:
        path: the file; its folder is made.
        parts: of its content, one after the other: bytes, or text for UTF-8.

    Raises:
        OSError: if it cannot be written, as on a full disk; an old file is still there then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own: several ranks may write the same file at once
    handle, temporary = tempfile.mkstemp(prefix=f'.{path.name}.', suffix='.part', dir=path.parent)
    try:
        with open(handle, 'wb') as file:
            for content in parts:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # as open() would have made it
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, f'{error.strerror}; what was there before is still whole', str(path)) from error
        raise
    _sync_folder(path.parent)


def remove_parts(folder: str | Path) -> None:
    """Remove what a killed process left of :func:`write_atomically`; nobody else may be writing there."""
    for part in Path(folder).glob('.*.part'):
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk, too, before anything older is removed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems sync no folders
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
