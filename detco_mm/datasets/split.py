"""A share of a COCO-format set, drawn from a seed, so that everybody has the same."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detco_mm.checkpoints.files import write_atomically


def split_coco(
    ann_file: str | Path, out: str | Path, percents: Sequence[float], seed: int = 0, rest: bool = False
) -> list[Path]:
    """Write annotation files that hold a share of the images with all their annotations.

    One order is drawn, and each share is its beginning: 1 % lies within 2 %, and so on.

    Args:
        ann_file: COCO-format JSON of the whole set.
        out: folder to write to; NAME_{percent}pct.json, where NAME is the stem of `ann_file`.
        percents: shares, above 0 and at most 100.
        seed: of the order, which is drawn over the sorted image ids: the order in the file does not matter.
        rest: also write the images that are not in the share, NAME_{percent}pct-rest.json.

    Returns:
        The files, in the order of `percents`, each before its rest.

    Raises:
        FileNotFoundError: if there is no `ann_file`.
        ValueError: if a share is out of range or leaves no image.
    """
    if not Path(ann_file).is_file():
        raise FileNotFoundError(f'no annotations at "{ann_file}": give a COCO-format JSON file')
    content = json.loads(Path(ann_file).read_text())
    ids = np.array(sorted(image['id'] for image in content['images']))
    order = np.random.RandomState(seed).permutation(ids)  # its stream is frozen for good, unlike default_rng's
    written = []
    for percent in percents:
        count = round(len(ids) * percent / 100)
        if not 0 < percent <= 100 or count < 1:
            raise ValueError(f'{percent} % of {len(ids)} images is {count}: give shares up to 100 that leave an image')
        if rest and count == len(ids):
            raise ValueError(f'{percent} % of {len(ids)} images leaves none for the rest: give a smaller share')
        for name, part in [('', order[:count]), ('-rest', order[count:])][: 2 if rest else 1]:
            kept = set(part.tolist())
            share = {
                **content,
                'images': [image for image in content['images'] if image['id'] in kept],
                'annotations': [found for found in content['annotations'] if found['image_id'] in kept],
            }
            path = Path(out, f'{Path(ann_file).stem}_{percent:g}pct{name}.json')
            write_atomically(path, json.dumps(share))
            written.append(path)
    return written
