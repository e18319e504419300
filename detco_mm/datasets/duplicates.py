"""Near-duplicates: images of val or test among those of a pre-training, and images that repeat one another."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from detco_mm.checkpoints.files import write_atomically
from detco_mm.datasets.image_folder import ImageFolder
from detco_mm.transforms import sources
from detco_mm.transforms.decoding import UndecodableImage, read_header
from detco_mm.transforms.pixels import Pixels
from detco_mm.transforms.rasters import is_plain, read_raster, stretched_grey

#: Side of the perceptual hash: 16 x 16 of the lowest frequencies of the grey image, 256 bits.
HASH_SIZE = 16
#: Bits of 256 in which two pictures of the same scene differ at most. On two public sets of 375 and 3214 photographs a
#: picture and its smaller copy differ in 16 at most, all pairs up to 70 that were looked at are frames of one video or
#: shots of one scene, and the pictures that have no such partner are 88 to 112 from their nearest one.
THRESHOLD = 64
#: The hash looks at 4 * HASH_SIZE pixels a side; a JPEG may be decoded at a fraction that leaves twice as many.
_SIDE = 8 * HASH_SIZE
#: Rows of the table of distances at a time: 512 x 100,000 in single precision are 200 MB.
_ROWS = 512

#: Neighbours that are looked at together where not all images are.
RUN = 16

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Pair:
    """Two images of nearly the same content.

    Args:
        image: path of the one in the folder.
        other: path of the other.
        distance: bits of the hash in which they differ, 0 to 256.
    """

    image: str
    other: str
    distance: int


def fingerprints(paths: Sequence[str], report: Report | None = None) -> tuple[list[str], np.ndarray]:
    """Hash images by what they show; scale, compression and slight changes of colour leave most bits as they are.

    Args:
        paths: of the images, 8-bit or not.
        report: is told how many are done, of how many.

    Returns:
        The paths that could be read, and (M, 256) single-precision numbers, 1 or -1 for each bit.

    Raises:
        ModuleNotFoundError: without the package ImageHash.

    Source: ImageHash, ``phash``.
    """
    try:
        import imagehash  # noqa: F401  (of the extra `duplicates`)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('near-duplicates are found by ImageHash: pip install ImageHash') from error
    read, rows = [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders and NumPy let other threads run
        for done, (path, row) in enumerate(zip(paths, pool.map(_fingerprint, paths), strict=True), 1):
            if row is not None:
                read.append(path)
                rows.append(row)
            if report is not None:
                report(done, len(paths))
    return read, np.array(rows, np.float32).reshape(-1, HASH_SIZE**2)


def _fingerprint(path: str) -> np.ndarray | None:
    from imagehash import phash

    if os.path.exists(path) and not os.path.isfile(path):
        return None  # a pipe would be waited for
    try:
        data = sources.read(path)
        header = read_header(data)
        if is_plain(data, header):
            spare = min(header.width, header.height) // _SIDE
            image = Pixels().read(data, header, next(factor for factor in (8, 4, 2, 1) if factor <= max(spare, 1)))
        else:
            image = stretched_grey(read_raster(data, header).values)
    except (UndecodableImage, OSError, ValueError):
        return None
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.where(phash(Image.fromarray(image), hash_size=HASH_SIZE).hash.ravel(), 1, -1).astype(np.int8)


def near_pairs(
    paths: Sequence[str],
    hashes: np.ndarray,
    others: Sequence[str] | None = None,
    other_hashes: np.ndarray | None = None,
    threshold: int = THRESHOLD,
) -> list[Pair]:
    """Find all pairs of nearly equal images, between two sets or within one.

    Args:
        paths: of M images.
        hashes: (M, 256), as :func:`fingerprints` makes them.
        others: paths of the other set; None for pairs within the one.
        other_hashes: theirs.
        threshold: bits that may differ.

    Returns:
        Pairs, the closest first; within one set each pair once, in the order of the paths.
    """
    within = others is None or other_hashes is None
    others, other_hashes = (paths, hashes) if others is None or other_hashes is None else (others, other_hashes)
    bits = hashes.shape[1]
    pairs = []
    for start in range(0, len(hashes), _ROWS):
        # of 1 and -1, the product counts the bits that agree less those that differ
        distances = (bits - hashes[start : start + _ROWS] @ other_hashes.T) / 2
        for row, column in np.argwhere(distances <= threshold):
            if not within or start + row < column:
                pairs.append(Pair(paths[start + row], others[column], int(distances[row, column])))
    return sorted(pairs, key=lambda pair: pair.distance)


def thinned(paths: Sequence[str], pairs: Sequence[Pair]) -> list[str]:
    """Leave out what repeats an image that is kept; a slow video keeps each frame that differs from all kept before.

    Args:
        paths: of all images, in the order in which they are kept.
        pairs: near-duplicates within them.
    """
    near: dict[str, list[str]] = {}
    for pair in pairs:
        near.setdefault(pair.image, []).append(pair.other)
        near.setdefault(pair.other, []).append(pair.image)
    kept: dict[str, None] = {}
    for path in paths:
        if not any(other in kept for other in near.get(path, ())):
            kept[path] = None
    return list(kept)


def held_out_images(ann_file: str, folder: str) -> list[str]:
    """List the images that a COCO json, or a list, names.

    Args:
        ann_file: the json of val or test; '' for all images of the folder.
        folder: where its images lie.

    Raises:
        FileNotFoundError: if there is no such file, or none of its images exists.
        ValueError: if it is no COCO json.
    """
    data = ImageFolder(data_root=folder, ann_file=ann_file and os.path.abspath(ann_file))
    data.full_init()
    return [data.get_data_info(index)['img_path'] for index in range(len(data))]


def all_held_out(places: str | Sequence[str]) -> list[str]:
    """List the images of val and test.

    Args:
        places: COCO jsons, or lists, each with the folder of its images behind it; a folder without one stands for all
            of its images.

    Raises:
        FileNotFoundError, ValueError: as for :func:`held_out_images`; also if a json has no folder.
    """
    if isinstance(places, str):
        places = [places]
    if not isinstance(places, list | tuple) or not all(isinstance(place, str) for place in places):
        raise ValueError(f'data.held_out={places!r}: name COCO jsons, each with its folder behind it, or folders')
    waiting, found = '', []
    for place in places:
        if os.path.isdir(place):
            found += held_out_images(waiting, place)
            waiting = ''
        elif waiting or not os.path.isfile(place):
            raise FileNotFoundError(f'no folder at "{place}": name the COCO json of val or test, then its images')
        else:
            waiting = place
    if waiting:
        raise ValueError(f'"{waiting}" has no folder behind it: name a COCO json, then the folder of its images')
    return list(dict.fromkeys(found))


def sampled(paths: Sequence[str], count: int) -> list[str]:
    """Choose images in runs of neighbours, for the frames of a video lie side by side; all if they are no more.

    Args:
        paths: of all images, in the order of their names.
        count: how many to choose at most, above 0; in runs of :data:`RUN`.
    """
    if len(paths) <= count:
        return list(paths)
    run = min(RUN, count)
    starts = np.linspace(0, len(paths) - run, count // run).astype(int)
    return [paths[int(at)] for at in np.unique(starts[:, None] + np.arange(run))]


def write_list(paths: Sequence[str], folder: str, path: str | os.PathLike) -> None:
    """Write a list for ``data.ann_file``: one path a line, relative to the folder."""
    names = [os.path.relpath(name, folder) for name in paths]
    write_atomically(path, '\n'.join(names) + '\n')  # type: ignore[arg-type]  # any path


def leaks(
    images: Sequence[str], held_out: Sequence[str], threshold: int = THRESHOLD, report: Report | None = None
) -> list[Pair]:
    """Find images of a pre-training that show what val or test shows.

    Args:
        images: paths of the pre-training's images.
        held_out: paths of val's and test's.
        threshold: bits of the hash that may differ.
        report: is told how many are done, of how many.

    Returns:
        Pairs of an image and one that is held out, the closest first; empty if nothing leaks.
    """
    names, hashes = fingerprints([*images, *held_out], report)
    inside = set(images)
    mine = [index for index, name in enumerate(names) if name in inside]
    others = [index for index, name in enumerate(names) if name not in inside]
    pairs = near_pairs([names[i] for i in mine], hashes[mine], [names[i] for i in others], hashes[others], threshold)
    # a path in both sets is the plainest leak of all
    return [*(Pair(path, path, 0) for path in held_out if path in inside), *pairs]
