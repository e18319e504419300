"""The embedded detection set: made from a seed, in COCO's format, with nothing fetched.

    root/unlabelled/*.jpg                            for pre-training
    root/{train,val,test}/*.jpg                      for fine-tuning and evaluation
    root/annotations/instances_{train,val,test}.json
    root/embedded.json                               the parameters it was made with

Every image has its own seed sequence (seed, split, index), so that neither the number of workers nor the size of
another split changes it, and no two splits share one.
"""

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detco_mm.datasets.embedded.outlines import CLASS_NAMES
from detco_mm.datasets.embedded.scenes import Scene, SceneSpec, make_scene

# To be raised with every change that alters an image, so that data made by an older version is told apart.
RECIPE = 1
STAMP = 'embedded.json'
# A split's place in this list is part of its images' seeds.
SPLITS = ('unlabelled', 'train', 'val', 'test')
JPEG_QUALITY = 90

Report = Callable[[str, int, int], None]


def make_embedded(
    root: str | os.PathLike[str],
    seed: int = 0,
    unlabelled: int = 2000,
    train: int = 500,
    val: int = 200,
    test: int = 200,
    spec: SceneSpec | None = None,
    unlabelled_objects: tuple[int, int] | None = None,
    workers: int = 1,
    report: Report | None = None,
) -> bool:
    """Make the embedded set, or find that it is already there.

    It is made beside ``root`` and renamed at the end: an interrupted run leaves no half-made set.

    Args:
        root: folder to make; absent, empty, or holding the set made before with the same parameters.
        seed: of all images.
        unlabelled: number of images for pre-training.
        train: number of labelled images for fine-tuning.
        val: number of labelled images for choosing.
        test: number of labelled images for the last word.
        spec: sizes and numbers of objects; ``SceneSpec()`` where None.
        unlabelled_objects: fewest and most objects of an unlabelled image, as in the other splits where None.
        workers: processes; the result does not depend on it.
        report: called with (split, images done, images of the split) from time to time.

    Returns:
        whether the set was made now (True) or was already there (False).

    Raises:
        ValueError: if ``root`` holds anything else, or a number is out of its range.
    """
    spec = spec or SceneSpec()
    counts = dict(zip(SPLITS, (unlabelled, train, val, test), strict=True))
    for name, value in {'seed': seed, **counts}.items():
        if value < 0:
            raise ValueError(f'{name} of {value} must not be negative')
    if workers < 1:
        raise ValueError(f'workers of {workers} must be at least 1')
    specs = {split: spec for split in SPLITS}
    if unlabelled_objects is not None:
        specs['unlabelled'] = replace(spec, objects=unlabelled_objects)
    stamp = json.loads(json.dumps({
        'recipe': RECIPE, 'seed': seed, 'images': counts, 'scenes': {k: asdict(v) for k, v in specs.items()},
        'classes': CLASS_NAMES}))  # fmt: skip

    target = Path(root).resolve()
    if _is_made(target, stamp):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{target.name}-', dir=target.parent) as folder:
        partial_set = Path(folder, 'set')  # the folder around it is private to this user, the set is not
        (partial_set / 'annotations').mkdir(parents=True)
        for split, count in counts.items():
            (partial_set / split).mkdir()
            task = partial(_write_image, partial_set / split, specs[split], seed, SPLITS.index(split))
            labels = []
            for index, label in enumerate(_run(task, count, workers), start=1):
                labels.append(label)
                if report is not None and (index % 100 == 0 or index == count):
                    report(split, index, count)
            if split != 'unlabelled':
                coco = _coco(labels, spec.image_size, f'{split} split of the embedded set, seed {seed}')
                (partial_set / 'annotations' / f'instances_{split}.json').write_text(json.dumps(coco))
        (partial_set / STAMP).write_text(json.dumps(stamp, indent=2) + '\n')
        if not _is_made(target, stamp):  # another process may have been faster
            if target.exists():
                target.rmdir()  # empty, else _is_made had raised
            os.replace(partial_set, target)
    return True


def image_seed(seed: int, split: int, index: int) -> np.random.Generator:
    """Give the generator of one image.

    Args:
        seed: of the set.
        split: position in ``SPLITS``.
        index: of the image in its split.

    Returns:
        a generator that no other (seed, split, index) shares.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, split, index]))


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, list[int]]:
    """Write a mask as COCO's uncompressed run-length encoding, which keeps holes and separate parts exactly.

    Args:
        mask: (H, W) bool.

    Returns:
        ``size`` (H, W) and ``counts``: lengths of alternating runs down the columns, the first one of zeros.
    """
    counts = [] if not mask.flat[0] else [0]
    counts += [sum(1 for _ in run) for _, run in groupby(mask.T.ravel().tolist())]
    return {'size': list(mask.shape), 'counts': counts}


def _is_made(target: Path, stamp: dict[str, Any]) -> bool:
    """Whether the set exists, False where nothing does; a folder with anything else is not touched, with an error."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    way_out = 'choose another folder, or remove this one by hand'
    if not (target / STAMP).is_file():
        raise ValueError(f'{target} holds something other than the embedded set (no {STAMP} in it): {way_out}')
    found = json.loads((target / STAMP).read_text())
    if found != stamp:
        keys = [key for key in {**found, **stamp} if found.get(key) != stamp.get(key)]
        there, asked = ({key: side.get(key) for key in keys} for side in (found, stamp))
        raise ValueError(f'{target} holds an embedded set made with {there}, asked for is {asked}: {way_out}')
    return True


def _run(task: Callable[[int], Any], count: int, workers: int) -> Iterator[Any]:
    if workers == 1:
        yield from map(task, range(count))
        return
    # Forked workers inherit the imports; started afresh, each would spend seconds on importing PyTorch.
    method = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else 'spawn'
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=cv2.setNumThreads, initargs=(0,)) as pool:
        yield from pool.map(task, range(count), chunksize=25)


def _write_image(folder: Path, spec: SceneSpec, seed: int, split: int, index: int) -> dict[str, Any]:
    scene = make_scene(spec, index % len(CLASS_NAMES), image_seed(seed, split, index))
    name = f'{index:06d}.jpg'
    if not cv2.imwrite(str(folder / name), scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise OSError(f'{folder / name} could not be written: is the disk full?')
    return {'file_name': name, 'objects': [] if SPLITS[split] == 'unlabelled' else _objects(scene)}


def _objects(scene: Scene) -> list[dict[str, Any]]:
    labels = []
    for mask, class_ in zip(scene.masks, scene.classes, strict=True):
        labels.append({
            'category_id': class_ + 1,  # COCO's categories count from 1
            'bbox': [int(n) for n in cv2.boundingRect(mask.astype(np.uint8))],  # x, y, width, height
            'segmentation': run_lengths(mask), 'area': int(mask.sum()), 'iscrowd': 0})  # fmt: skip
    return labels


def _coco(labels: list[dict[str, Any]], image_size: tuple[int, int], description: str) -> dict[str, Any]:
    width, height = image_size
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, label in enumerate(labels, start=1):
        images.append({'id': image_id, 'file_name': label['file_name'], 'width': width, 'height': height})
        for one in label['objects']:
            annotations.append({'id': len(annotations) + 1, 'image_id': image_id, **one})
    categories = [{'id': k, 'name': name} for k, name in enumerate(CLASS_NAMES, start=1)]
    return {'info': {'description': description}, 'images': images, 'annotations': annotations,
            'categories': categories}  # fmt: skip
