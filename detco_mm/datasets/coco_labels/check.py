"""All checks of a COCO-format file, one after the other."""

import json
import logging
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from mmengine.logging import print_log

from detco_mm.checkpoints.files import write_atomically
from detco_mm.datasets.coco_labels.boxes import check_objects
from detco_mm.datasets.coco_labels.classes import check_classes
from detco_mm.datasets.coco_labels.files import check_files
from detco_mm.datasets.coco_labels.findings import FIXED, NOTE, LabelError, Labels
from detco_mm.datasets.coco_labels.sizes import SAMPLE, check_sizes
from detco_mm.datasets.coco_labels.structure import check_structure, read_labels
from detco_mm.datasets.text import reads_everywhere


def check_coco(
    ann_file: str | PathLike,
    images: str | PathLike | None = None,
    *,
    classes: Sequence[str] | None = None,
    masks: bool = False,
    objects: bool = True,
    categories: bool = True,
    layout: str | None = None,
    sample: int | None = SAMPLE,
) -> Labels:
    """Check a COCO-format file, and fix in memory what can be.

    Args:
        ann_file: the file; it is not changed.
        images: folder that its file names are relative to; without one the files are not looked for.
        classes: of the config that is to use it.
        masks: whether every object has to have a mask.
        objects: whether there has to be an object that is no crowd.
        categories: whether there have to be names of the categories.
        layout: how the boxes are written, see :func:`detco_mm.datasets.coco_labels.boxes.check_objects`.
        sample: how many images to open where all sizes are stated, None for all.

    Returns:
        What was found, and the fixed content.

    Raises:
        FileNotFoundError: if the file or the folder does not exist.
        ValueError: if the file is no JSON; LabelError if it is another format's.
    """
    labels = read_labels(ann_file)
    if not reads_everywhere(ann_file):
        labels.fixed('an encoding, or a byte order mark, that MMDetection does not read here, written anew')
    check_structure(labels, categories)
    remote = images is not None and '://' in str(images)
    if images is not None and not remote and not Path(images).is_dir():
        raise FileNotFoundError(f'no folder of images at "{images}", which "{ann_file}" names the images of')
    if images is not None and not remote:
        check_files(labels, str(images))
    check_sizes(labels, None if images is None or remote else str(images), sample)
    if remote:
        for image in labels.images.values():
            if 'width' not in image:
                place = f'image {image["id"]}'
                labels.stop('images without width and height, in a folder that is not on this machine', place)
    check_objects(labels, masks, layout)
    if objects and labels.content['images']:
        if not labels.content['annotations']:
            labels.stop('no object is listed: "annotations" is missing or empty')
        elif labels.objects and all(found['iscrowd'] for found in labels.objects):
            labels.stop(
                f'all {len(labels.objects)} objects are crowds (iscrowd=1), which detectors do not learn; CVAT writes '
                'so of masks: set iscrowd to 0'
            )
    if classes is not None and labels.content['categories']:
        check_classes(labels, classes)
    return labels


def usable_labels(ann_file: str | PathLike, images: str | PathLike | None = None, **needs: object) -> Labels:
    """Check a COCO-format file, log what was fixed or is good to know, and refuse what a run must not use.

    Args and errors as for :func:`check_coco`; LabelError, too, if there is a fault that cannot be fixed.
    """
    labels = check_coco(ann_file, images, **needs)  # type: ignore[arg-type]  # its arguments
    log_findings(labels)
    if labels.complaint:
        raise LabelError(labels.complaint)
    return labels


def log_findings(labels: Labels) -> None:
    """Log one line for each kind that does not stop a run."""
    for level, severity in ((FIXED, logging.WARNING), (NOTE, logging.INFO)):
        for found in labels.findings.of(level):
            print_log(f'labels: "{labels.path}": {level}: {found}', logger='current', level=severity)


def write_fixed(labels: Labels, path: str | PathLike) -> None:
    """Write the fixed content, in ASCII, which is read in every locale."""
    write_atomically(Path(path), json.dumps(labels.content))


def without_faults(labels: Labels) -> None:
    """Leave out objects that have a fault, and images without a file, with all their objects."""
    labels.content['images'] = [image for image in labels.images.values() if image['id'] not in labels.lost]
    labels.content['annotations'] = [found for found in labels.objects if found['image_id'] not in labels.lost]
