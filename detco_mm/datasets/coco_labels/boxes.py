"""Boxes and areas of objects: what is missing is computed, what cannot be a box is counted."""

from math import isfinite
from typing import Any

import numpy as np

from detco_mm.datasets.coco_labels import masks
from detco_mm.datasets.coco_labels.findings import Labels

#: A pixel of rounding, which labelling tools allow themselves at the border of an image.
_ROUNDING = 1.0
#: Corners written where x, y, width, height are expected: uniformly placed objects reach beyond the image in three of
#: four cases, as x1 + x2 > width where the middle of the box is right of the image's, and likewise below. Labels that
#: are right reach beyond it by accident, and few of them.
_BEYOND, _CONSISTENT = 0.4, 0.99
#: How boxes may be written.
LAYOUTS = ('xywh', 'xyxy', 'relative')


def check_objects(labels: Labels, with_masks: bool = False, layout: str | None = None) -> None:
    """Look at boxes, areas, crowds and, for a detector of masks, segmentations.

    Args:
        labels: after the check of its structure and of its images' sizes.
        with_masks: whether every object has to have a mask.
        layout: how the boxes are written, if that is known: 'xywh', 'xyxy' (corners) or 'relative' (x, y, width, height
            as shares of the image's sides); the last two are rewritten. By default it is looked at.
    """
    kept = []
    for found in labels.objects:
        image = labels.images[found['image_id']]
        crowd = found.get('iscrowd')
        if type(crowd) is not int or crowd not in (0, 1):
            found['iscrowd'] = 1 if str(crowd).lower() in ('1', '1.0', 'true') else 0
            if crowd is None:
                labels.fixed('objects without iscrowd, set to 0', labels.where(found))
            else:
                labels.fixed('iscrowd that is neither 0 nor 1, made so', labels.where(found))
        segmentation, changed = masks.as_polygons(found.get('segmentation'))
        if changed:
            found['segmentation'] = segmentation
            labels.fixed(changed, labels.where(found))
        if with_masks and (wrong := masks.fault(segmentation, image.get('height'), image.get('width'))):
            out = ' -> label masks, or train a detector of boxes' if wrong.endswith('without a segmentation') else ''
            labels.stop(f'{wrong}{out}', labels.where(found))
        elif _has_box(labels, found, image):
            kept.append(found)
    layout = layout or _layout(labels, kept)
    labels.objects = kept if layout is None else _place(labels, kept, layout, with_masks)


def _has_box(labels: Labels, found: dict, image: dict) -> bool:
    """Tell whether an object has four finite numbers for a box; one without gets that of its mask."""
    box = found.get('bbox')
    if box is None or box == []:
        if masks.fault(found.get('segmentation'), image.get('height'), image.get('width')):
            labels.stop(
                'objects without a bbox, and without a mask that it could be computed from', labels.where(found)
            )
            return False
        found['bbox'] = masks.area_and_box(found['segmentation'])[1]
        labels.fixed('objects without a bbox, computed from their mask', labels.where(found))
        return True
    if not isinstance(box, list) or len(box) != 4 or not all(type(value) in (int, float) for value in box):
        labels.stop('boxes that are not four numbers', f'{labels.where(found)}: {box!r}'[:120])
        return False
    if not all(map(isfinite, box)):
        labels.stop('boxes that are not finite', f'{labels.where(found)}: {box}')
        return False
    return True


def _sizes(labels: Labels, objects: list[dict]) -> np.ndarray:
    """Width and height of each object's image, (M, 2); endless where they are not known."""
    images = [labels.images[found['image_id']] for found in objects]
    return np.array([(image.get('width') or np.inf, image.get('height') or np.inf) for image in images], float)


def _layout(labels: Labels, objects: list[dict]) -> str | None:
    """How the boxes are written; None, and a finding, if not as x, y, width, height."""
    if not objects:
        return 'xywh'
    boxes, sizes = np.array([found['bbox'] for found in objects], float), _sizes(labels, objects)
    first = labels.where(objects[0]) + f': {objects[0]["bbox"]}'
    if (boxes[:, 2:] > 0).any() and (boxes >= -1e-3).all() and (boxes <= 1 + 1e-3).all() and (sizes > 2).all():
        labels.stop(
            f'boxes are shares of the image, 0 to 1, such as {first}, where COCO has pixels: write them anew with '
            'tools/check_labels.py --boxes relative --fixed OUT.json'
        )
        return None
    beyond = (boxes[:, :2] + boxes[:, 2:] > sizes + _ROUNDING).any(1)
    corners = (boxes[:, 2:] > boxes[:, :2]).all(1) & (boxes[:, 2:] <= sizes + _ROUNDING).all(1)
    if beyond.mean() >= _BEYOND and corners.mean() >= _CONSISTENT:
        labels.stop(
            f'{beyond.sum()} of {len(boxes)} boxes leave their image as [x, y, width, height], but all fit as corners '
            f'[x1, y1, x2, y2], such as {first}: write them anew with tools/check_labels.py --boxes xyxy --fixed '
            'OUT.json'
        )
        return None
    return 'xywh'


def _place(labels: Labels, objects: list[dict], layout: str, with_masks: bool) -> list[dict]:
    """Look at where boxes lie and how large they are, and return the objects without a fault."""
    kept = []
    sizes = _sizes(labels, objects)
    for found, (width, height) in zip(objects, sizes.tolist(), strict=True):
        x, y, w, h = found['bbox']
        if layout == 'xyxy':
            w, h = w - x, h - y
        elif layout == 'relative':
            if not isfinite(width * height):
                labels.stop('images whose width and height are not known', labels.where(found))
                continue
            x, y, w, h = x * width, y * height, w * width, h * height
        if layout != 'xywh':
            found['bbox'] = [x, y, w, h]
            labels.fixed(f'boxes written as {layout}, made x, y, width, height in pixels', labels.where(found))
        if w <= 0 or h <= 0:
            labels.stop(
                'boxes without an area: width or height is 0 or less', f'{labels.where(found)}: {found["bbox"]}'
            )
            continue
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            labels.stop(
                'boxes outside of their image', f'{labels.where(found)}: {found["bbox"]} of {width:g}x{height:g}'
            )
            continue
        if x < -_ROUNDING or y < -_ROUNDING or x + w > width + _ROUNDING or y + h > height + _ROUNDING:
            labels.note('boxes that reach beyond their image, cut there', f'{labels.where(found)}: {found["bbox"]}')
        if w < 1 or h < 1:
            labels.note('boxes below 1 pixel, which MMDetection leaves out', f'{labels.where(found)}: {found["bbox"]}')
        segmentation = found.get('segmentation')
        if with_masks and isinstance(segmentation, list) and masks.outside(segmentation, found['bbox']):
            labels.stop('polygons that lie outside of the box of their object', labels.where(found))
            continue
        if not _positive(found.get('area')):
            fits = not masks.fault(segmentation, height, width)
            found['area'] = masks.area_and_box(segmentation)[0] if fits else 0.0
            source = 'mask' if found['area'] > 0 else 'box'
            found['area'] = found['area'] or float(w * h)
            labels.fixed(f'objects without an area, computed from the {source}', labels.where(found))
        kept.append(found)
    return kept


def _positive(area: Any) -> bool:
    return type(area) in (int, float) and isfinite(area) and area > 0
