"""Files that exist complete or not at all."""

import os
import secrets
import shutil
from pathlib import Path


def write_atomically(path: str | Path, *parts: bytes | memoryview | str) -> None:
    """Write a file so that a stop at any moment leaves the old one or the new one, never a part.

    Args:
        path: the file; its folder is made. Where it is a link, the file that it leads to is written.
        parts: of its content, one after the other: bytes, or text for UTF-8.

    Raises:
        OSError: if it cannot be written, as on a full disk; an old file still exists then.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own: several ranks may write the same file at once
    temporary = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.part')
    try:
        # 0o666: the system takes the umask off, as for any file that open() makes; O_BINARY exists on Windows alone
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, 'O_BINARY', 0)
        with open(os.open(temporary, flags, 0o666), 'wb') as file:
            for content in parts:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)  # as if it had been written in place
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, f'{error.strerror}; what existed before is intact', str(path)) from error
        raise
    _sync_folder(path.parent)


def remove_parts(folder: str | Path) -> None:
    """Remove what a killed process left of :func:`write_atomically`; nobody else may be writing there."""
    for part in Path(folder).glob('.*.part'):
        part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the new name on the disk, too, before anything older is removed."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # Windows opens no folders
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems sync no folders
    finally:
        os.close(handle)
