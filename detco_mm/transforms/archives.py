"""Files inside zip and tar archives, read without unpacking by paths such as ``images.zip/a/b.jpg``."""

import os
import posixpath
import re
import struct
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from detco_mm.checkpoints.starts import other_kind

_SUFFIX = re.compile(r'\.(?:zip|tar)(?=/|$)', re.IGNORECASE)
#: Of a member of a zip file: its fixed part is 30 bytes, of which the last four are the lengths of name and extra field
#: (APPNOTE.TXT, 4.3.7).
_LOCAL_HEADER = struct.Struct('<4s22xHH')
_MARK = b'PK\x03\x04'


class _Member(NamedTuple):
    """Where a file is in its archive; of a zip, `offset` is that of its local header."""

    offset: int
    size: int
    packed: int
    method: int | None  # of a zip; None in a tar
    crc: int


def split(path: str) -> tuple[str, str] | None:
    """Cut a path into an archive and what is inside it.

    Returns:
        Path of the archive, and that of a file or folder inside it, '' for all of it; None for an ordinary path. A
        folder may be called ``images.zip`` as well.
    """
    for found in _SUFFIX.finditer(path):
        if os.path.isfile(path[: found.end()]):
            return path[: found.end()], posixpath.normpath(path[found.end() :].strip('/')).removeprefix('.').strip('/')
    return None


def read(archive: str, name: str) -> bytes:
    """Read a file of an archive; each process has a handle of its own, and threads share it.

    Raises:
        FileNotFoundError: if the archive has no such file.
        OSError: if it is damaged.
        ValueError: if the archive cannot be used.
    """
    return _archive(archive).read(name)


def has(archive: str, name: str) -> bool:
    """Tell whether an archive has a file or a folder of a name."""
    return name in _archive(archive).members or is_folder(archive, name)


def is_folder(archive: str, name: str) -> bool:
    """Tell whether a name is that of a folder in an archive; '' is the archive itself."""
    return not name or any(one.startswith(f'{name}/') for one in _archive(archive).members)


def files_below(archive: str, folder: str) -> Iterator[str]:
    """Yield the paths of the files in a folder of an archive, in any depth, but for those with a leading dot."""
    start = f'{folder}/' if folder else ''
    for name in _archive(archive).members:
        if name.startswith(start) and not posixpath.basename(name).startswith('.'):
            yield f'{archive}/{name}'


class _Archive:
    """An archive and where its files are in it.

    Args:
        path: of a zip, or of a tar that is not compressed.

    Raises:
        ValueError: if it is damaged, or compressed as a whole.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._process = 0
        try:
            self.members = _members_of_zip(path) if path.lower().endswith('.zip') else _members_of_tar(path)
        except (zipfile.BadZipFile, tarfile.TarError, struct.error, EOFError) as error:
            with open(path, 'rb') as file:
                other = other_kind(file.read(64))
            why = other or f'is damaged or incomplete ({error}): get it again'
            raise ValueError(f'"{path}" {why}') from error

    def read(self, name: str) -> bytes:
        """Return the bytes of a file; errors as for :func:`read`."""
        found = self.members.get(name)
        if found is None:
            raise FileNotFoundError(f'no "{name}" in "{self.path}"')
        if found.method is None:
            return self._bytes(found.offset, found.size, name)
        if found.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise OSError(f'"{name}" in "{self.path}" is packed by method {found.method}: pack it anew by deflate')
        mark, *lengths = _LOCAL_HEADER.unpack(self._bytes(found.offset, _LOCAL_HEADER.size, name))
        if mark != _MARK:
            raise self._damaged(name)
        data = self._bytes(found.offset + _LOCAL_HEADER.size + sum(lengths), found.packed, name)
        if found.method == zipfile.ZIP_DEFLATED:
            try:
                data = zlib.decompress(data, -zlib.MAX_WBITS, found.size or 1)
            except zlib.error as error:
                raise self._damaged(name) from error
        if len(data) != found.size or zlib.crc32(data) != found.crc:
            raise self._damaged(name)
        return data

    def _bytes(self, offset: int, size: int, name: str) -> bytes:
        with self._lock:
            if self._process != os.getpid():  # a fork shares the place in the file with its parent
                self._file, self._process = open(self.path, 'rb', buffering=0), os.getpid()
            self._file.seek(offset)
            data = self._file.read(size)
            while len(data) < size and (more := self._file.read(size - len(data))):
                data += more
        if len(data) < size:
            raise self._damaged(name)
        return data

    def _damaged(self, name: str) -> OSError:
        return OSError(f'"{name}" in "{self.path}" is damaged: get the archive again')


_opened: dict[str, tuple[tuple[int, int], _Archive]] = {}


def _archive(path: str) -> _Archive:
    """Open an archive once; data workers that are forked find its index, and one that was written anew is read anew."""
    about = os.stat(path)
    state = about.st_mtime_ns, about.st_size
    known = _opened.get(path)
    if known is None or known[0] != state:
        known = _opened[path] = state, _Archive(path)
    return known[1]


if hasattr(os, 'register_at_fork'):
    # another thread may have held the lock
    os.register_at_fork(
        after_in_child=lambda: [setattr(one, '_lock', threading.Lock()) for _, one in _opened.values()]  # type: ignore[func-returns-value]
    )


def _members_of_zip(path: str) -> dict[str, _Member]:
    members: dict[str, _Member] = {}
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            if info.flag_bits & 1:
                raise ValueError(f'"{path}" is encrypted: unpack it, or pack it anew without a password')
            if not info.is_dir():
                at = info.header_offset, info.file_size, info.compress_size, info.compress_type, info.CRC
                members[posixpath.normpath(info.filename)] = _Member(*at)
    return members


def _members_of_tar(path: str) -> dict[str, _Member]:
    members: dict[str, _Member] = {}
    end = 0
    with tarfile.open(path, 'r:') as file:
        for info in file:
            file.members = []  # type: ignore[attr-defined]  # it would keep them all
            name = posixpath.normpath(info.name)
            end = info.offset_data + (-(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE if info.isreg() else 0)
            if info.islnk() and (same := members.get(posixpath.normpath(info.linkname))):
                members[name] = same
            elif info.isreg() and not info.issparse():
                members[name] = _Member(info.offset_data, info.size, info.size, None, 0)
    if os.path.getsize(path) <= end:  # there is a block of zeros behind the last file
        raise tarfile.ReadError('it ends in the middle of a file, or without its end mark')
    return members
