"""A share of a COCO-format set, drawn from a seed, so that everybody has the same."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from detco_mm.checkpoints.files import write_atomically
from detco_mm.datasets.coco_labels.boxes import check_objects
from detco_mm.datasets.coco_labels.check import log_findings
from detco_mm.datasets.coco_labels.findings import LabelError
from detco_mm.datasets.coco_labels.sizes import check_sizes
from detco_mm.datasets.coco_labels.structure import check_structure, read_labels


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
        ValueError: if a share is out of range or leaves no image; LabelError if lists, ids or references are wrong.
    """
    if not Path(ann_file).is_file():
        raise FileNotFoundError(f'no annotations at "{ann_file}": give a COCO-format JSON file')
    content = _sound(ann_file)
    ids = np.array(sorted(image['id'] for image in content['images']))
    order = np.random.RandomState(seed).permutation(ids)  # its stream is frozen for good, unlike default_rng's
    written = []
    for percent in percents:
        count = round(len(ids) * percent / 100) if 0 < percent <= 100 else 0
        if count < 1:
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


def _sound(ann_file: str | Path) -> dict:
    """Read labels whose lists, ids and references are right; what else would stop a run is said, and no hindrance."""
    labels = read_labels(ann_file)
    check_structure(labels)
    if labels.complaint:
        raise LabelError(labels.complaint)
    check_sizes(labels, None)
    check_objects(labels)
    log_findings(labels)
    if labels.complaint:
        print_log(f'labels: a run would stop at {labels.complaint}', logger='current', level=logging.WARNING)
    return labels.content
