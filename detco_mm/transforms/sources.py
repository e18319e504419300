"""Where images come from: files, members of zip and tar archives, and addresses, all named by one path."""

import os
from collections.abc import Iterator
from os import PathLike

from mmengine import fileio

from detco_mm.transforms import archives, remote


def read(path: str | PathLike, backend_args: dict | None = None) -> bytes:
    """Read a file.

    Args:
        path: ``a/b.jpg``, ``images.zip/b.jpg``, ``images.tar/b.jpg``, ``s3://bucket/b.jpg``, ``http://host/b.jpg``.
        backend_args: of MMEngine's file backends, which then read it.

    Raises:
        FileNotFoundError: if there is no such file.
        OSError, ValueError: if it cannot be read.
    """
    path = os.fspath(path)
    if backend_args is None:
        if '://' in path:
            return remote.read(path)
        if found := archives.split(path):
            return archives.read(*found)
    return fileio.get(path, backend_args)


def is_folder(path: str) -> bool:
    """Tell whether a path is that of a folder: an archive is one, too."""
    if '://' in path:
        return remote.is_folder(path)
    return archives.is_folder(*found) if (found := archives.split(path)) else os.path.isdir(path)


def exists(path: str) -> bool:
    """Tell whether there is a file or a folder."""
    if '://' in path:
        return remote.exists(path)
    return archives.has(*found) if (found := archives.split(path)) else os.path.exists(path)


def files_below(folder: str) -> Iterator[str]:
    """Yield the files at any depth, in no order, through links as well, but for those with a leading dot."""
    if '://' in folder:
        return remote.files_below(folder)
    return archives.files_below(*found) if (found := archives.split(folder)) else _files_below(folder)


def join(folder: str, name: str) -> str:
    """Join a folder and what is relative to it; a name that stands for itself stays as it is."""
    if not folder or '://' in name or os.path.isabs(name):
        return name
    return os.path.join(folder, name) if '://' not in folder else f'{folder.rstrip("/")}/{name}'.rstrip('/')


def _files_below(folder: str, above: frozenset = frozenset()) -> Iterator[str]:
    about = os.stat(folder)
    place = about.st_dev, about.st_ino
    if place in above:
        return  # a link led back
    with os.scandir(folder) as entries:
        for entry in entries:
            if os.path.isdir(entry.path):
                yield from _files_below(entry.path, above | {place})
            elif not entry.name.startswith('.') and os.path.isfile(entry.path):  # False for a link to itself
                yield entry.path
