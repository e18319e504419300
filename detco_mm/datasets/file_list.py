"""The files below a folder: found once, and from then on taken from a list for as long as no folder has changed."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log

from detco_mm.checkpoints.files import write_atomically

# Fewer files are found within a few hundredths of a second, which is not worth a file in the user's cache.
LEAST = 10_000
# A file system may not tell two changes within so many seconds apart; FAT's times are the coarsest.
SETTLED = 2.0
Stamp = tuple[int, ...]


def find_files(
    folder: str, extensions: Sequence[str], cache: Path | None = None, least: int = LEAST, settled: float = SETTLED
) -> list[str]:
    """Find files by their extension, at any depth, through links as well; files with a leading dot are not looked at.

    The list is kept as text with the times and numbers (mtime, ctime, inode) of all folders, which file systems change
    when an entry is added, removed or renamed. It serves only if all of them, asked for anew, are the same; if it is
    damaged or cannot be read, it does not serve and is made anew. It is not kept where it could miss a change: if a
    folder changed less than `settled` seconds ago, or a link leads nowhere yet. What it cannot see, nor needs to, is
    what becomes of a file behind its name; one that a link no longer leads to is skipped as one that is damaged.

    Args:
        folder: on a local file system; on a network one, changes are seen as soon as a search would see them.
        extensions: in lower case; files have them in any case.
        cache: folder of such lists; default: detco_mm below $XDG_CACHE_HOME or ~/.cache. One that cannot be written to
            costs nothing but the search.
        least: a list of fewer files is not kept.
        settled: seconds.

    Returns:
        Paths relative to the folder, sorted.

    Raises:
        OSError: if a folder cannot be read.
    """
    folder = os.path.realpath(folder)
    wanted = [folder, *extensions]
    kept = (cache or _cache_folder()) / f'{hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:24]}.txt'
    files = _read(kept, folder, wanted)
    if files is None:
        began = time.time()
        files, folders, safe = _search(folder, tuple(extensions))
        changed = max(stamp[1] for stamp in folders.values()) / 1e9
        if safe and len(files) >= least and changed < began - settled:
            _write(kept, dict(wanted=wanted, folders=folders, files=files))
    return files


def _cache_folder() -> Path:
    # as the XDG base directory specification says; expanduser leaves the ~ where there is no home
    return Path(os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')) / 'detco_mm'


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _search(folder: str, extensions: tuple[str, ...]) -> tuple[list[str], dict[str, Stamp], bool]:
    """Walk; return the files, the stamp of each folder, and whether a change of the list would change a stamp."""
    files: list[str] = []
    folders: dict[str, Stamp] = {}
    safe = True
    left: list[tuple[str, frozenset]] = [('', frozenset())]
    while left:
        prefix, above = left.pop()
        path = os.path.join(folder, prefix)
        about = os.stat(path)  # before it is read: what changes meanwhile changes it
        if (about.st_dev, about.st_ino) in above:
            continue  # a link led back
        above |= {(about.st_dev, about.st_ino)}
        folders[prefix] = _stamp(about)
        with os.scandir(path) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir():
                    left.append((f'{name}/', above))
                elif not entry.name.startswith('.') and name.lower().endswith(extensions):
                    if entry.is_file():
                        files.append(name)
                    else:
                        safe = False
                elif entry.is_symlink() and not entry.is_file():
                    safe = False
    return sorted(files), folders, safe


def _read(kept: Path, folder: str, wanted: list[str]) -> list[str] | None:
    try:
        digest, content = kept.read_bytes().split(b'\n', 1)
        if digest != _digest(content):
            return None
        found = json.loads(content)
        if found['wanted'] != wanted:
            return None
        if any(
            list(_stamp(os.stat(os.path.join(folder, prefix)))) != stamp for prefix, stamp in found['folders'].items()
        ):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found['files']


def _write(kept: Path, found: dict) -> None:
    content = json.dumps(found).encode()
    try:
        write_atomically(kept, _digest(content) + b'\n' + content)
    except OSError as error:
        print_log(f'the list of files was not kept for the next start: {error}', 'current', logging.DEBUG)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
