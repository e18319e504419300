"""The image files that labels name: found where tools write their names otherwise."""

import difflib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from detco_mm.datasets.coco_labels.findings import Labels

#: Label Studio puts eight hexadecimal digits and a hyphen in front of the name of an uploaded file.
_UPLOADED = re.compile(r'^[0-9a-f]{8}-(?=.)')


def check_files(labels: Labels, folder: str) -> None:
    """Look for the files of all images, and write their names as they are on the disk.

    Args:
        labels: after the check of its structure.
        folder: that its file names are relative to.
    """
    listed: dict[str, set[str]] = {}
    missing, taken = [], set()
    for image in labels.images.values():
        name = image.get('file_name')
        if not isinstance(name, str) or not name:
            labels.stop('images without a file_name', f'image {image["id"]}')
            labels.lost.add(image['id'])
            continue
        path = os.path.join(folder, name)
        place, base = os.path.split(path)
        if place not in listed:
            listed[place] = set(os.listdir(place)) if os.path.isdir(place) else set()
        if base in listed[place]:
            taken.add(os.path.normpath(path))
        else:
            missing.append(image)
    if missing:
        _find(labels, missing, folder, taken)
    _check_repeated(labels)


def _find(labels: Labels, missing: list[dict], folder: str, taken: set[str]) -> None:
    tree = _Tree(folder)
    found = {image['id']: tree.find(image['file_name']) for image in missing}
    counts = Counter(name for name in found.values() if name)
    for image in missing:
        name, written = found[image['id']], image['file_name']
        if name and counts[name] == 1 and os.path.normpath(os.path.join(folder, name)) not in taken:
            image['file_name'] = name
            labels.fixed('file names that are written otherwise on the disk', f'"{written}" -> "{name}"')
            continue
        labels.lost.add(image['id'])
        near = tree.nearest(written) if len(labels.lost) <= 3 else None
        labels.stop(
            f'images that are not in "{folder}" -> correct the folder or their file_name',
            f'"{written}"' + (f', the nearest is "{near}"' if near else ''),
        )


class _Tree:
    """All files below a folder, by their names."""

    def __init__(self, folder: str) -> None:
        self._by_name: dict[str, list[str]] = {}
        for place, _, names in os.walk(folder):
            for name in names:
                path = PurePosixPath(os.path.relpath(os.path.join(place, name), folder).replace(os.sep, '/'))
                self._by_name.setdefault(_folded(path.name), []).append(str(path))
        self._stems: dict[str, list[str]] = {}
        for paths in self._by_name.values():
            for path_ in paths:
                self._stems.setdefault(_folded(PurePosixPath(path_).stem), []).append(path_)

    def find(self, written: str) -> str | None:
        """Return the one file that a name can mean; None if there is none, or several."""
        for name in _readings(written):
            for index in (self._by_name, self._stems):  # the latter for names without a suffix
                fitting = [path for path in index.get(_folded(name.name), ()) if _ends_alike(path, name, index)]
                exact = [path for path in fitting if PurePosixPath(path).name == name.name]
                longest = max((_common(path, name) for path in exact or fitting), default=0)
                best = [path for path in exact or fitting if _common(path, name) == longest]
                if len(best) == 1:
                    return best[0]
                if best:
                    return None
        return None

    def nearest(self, written: str) -> str | None:
        """Return the file of the most similar name, if one is similar."""
        name = next(_readings(written)).name
        near = difflib.get_close_matches(_folded(name), self._by_name, 1, 0.7)
        return self._by_name[near[0]][0] if near else None


def _readings(written: str) -> Iterator[PurePosixPath]:
    """What a name can mean: of Windows, of a URL, with what Label Studio puts in front."""
    plain = written.replace('\\', '/')
    readings = [plain, unquote(plain)]
    if '://' in plain or '?' in plain:
        parts = urlsplit(plain)
        readings += [unquote(parts.path), *parse_qs(parts.query).get('d', [])]  # Label Studio's /data/local-files/?d=
    for reading in dict.fromkeys(readings):
        path = PurePosixPath(re.sub(r'^([A-Za-z]:)?/*(\./)*', '', reading) or '.')
        yield path
        if _UPLOADED.match(path.name):
            yield path.with_name(_UPLOADED.sub('', path.name))


def _parts(path: PurePosixPath) -> list[str]:
    return [_folded(part) for part in path.parts]


def _common(path: str, name: PurePosixPath) -> int:
    """How many folders above the file are the same."""
    pairs = zip(reversed(_parts(PurePosixPath(path))[:-1]), reversed(_parts(name)[:-1]), strict=False)
    count = 1
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count


def _ends_alike(path: str, name: PurePosixPath, index: dict) -> bool:
    """Tell whether one is the other with folders in front: video1/001.jpg is not video2/001.jpg."""
    return _common(path, name) == min(len(PurePosixPath(path).parts), len(name.parts))


def _folded(name: str) -> str:
    """A name whatever its case, and whichever way accents are written: macOS takes them apart."""
    return unicodedata.normalize('NFC', name).casefold()


def _check_repeated(labels: Labels) -> None:
    """Look for files that several images share: each copy lacks the objects of the others, unless they are the same."""
    by_name: dict[str, list[int]] = {}
    for id_, image in labels.images.items():
        if isinstance(name := image.get('file_name'), str):
            by_name.setdefault(os.path.normpath(name), []).append(id_)
    repeated = {name: ids for name, ids in by_name.items() if len(ids) > 1}
    if not repeated:
        return
    objects: dict[int, list[str]] = {}
    for found in labels.objects:
        objects.setdefault(found['image_id'], []).append(f'{found["category_id"]} {found.get("bbox")}')
    for name, ids in repeated.items():
        if len({tuple(sorted(objects.get(id_, ()))) for id_ in ids}) == 1:
            labels.note('files that several images share, with the same objects', f'"{name}"')
        else:
            labels.stop(
                'files that several images share, each with other objects -> list each once, with all its objects',
                f'"{name}": ids {ids}'[:80],
            )
