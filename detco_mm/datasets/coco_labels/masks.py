"""Polygons and run-length codes: are they masks, how large, and where."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

#: A polygon has three points or more; pycocotools takes two for the corners of a box.
_LEAST = 6


def as_polygons(segmentation: Any) -> tuple[Any, str | None]:
    """Write a segmentation as COCO does, where that can be told.

    Returns:
        The segmentation, and what was changed; None if nothing.
    """
    if not isinstance(segmentation, list) or not segmentation:
        return segmentation, None
    if all(isinstance(value, int | float) for value in segmentation):
        return [segmentation], 'polygons that are no list of parts, made so'
    if all(isinstance(part, list) and len(part) == 2 and not isinstance(part[0], list) for part in segmentation):
        return [[value for point in segmentation for value in point]], 'polygons of [x, y] points, made x, y, x, y'
    parts = [[value for point in part for value in point] if part and _points(part) else part for part in segmentation]
    if parts != segmentation:
        return parts, 'polygons of [x, y] points, made x, y, x, y'
    kept = [part for part in parts if not isinstance(part, list) or len(part) >= _LEAST]
    if 0 < len(kept) < len(parts):
        return kept, 'parts of polygons with fewer than 3 points, left out'
    return segmentation, None


def _points(part: Any) -> bool:
    return isinstance(part, list) and all(isinstance(point, list) and len(point) == 2 for point in part)


def fault(segmentation: Any, height: Any, width: Any) -> str | None:
    """Say why a segmentation is no mask of an image of this size; None if it is one."""
    if segmentation is None or segmentation == [] or segmentation == {}:
        return 'objects without a segmentation'
    if isinstance(segmentation, list):
        for part in segmentation:
            if not isinstance(part, list):
                return 'segmentations that are neither polygons nor run lengths'
            if len(part) < _LEAST:
                return 'polygons of fewer than 3 points'
            if len(part) % 2:
                return 'polygons with an odd number of coordinates'
            try:
                finite = isfinite(sum(part))
            except TypeError:
                finite = False
            if not finite:
                return 'polygons with coordinates that are no finite numbers'
        return None
    if not isinstance(segmentation, dict) or not isinstance(segmentation.get('counts'), str | list):
        return 'segmentations that are neither polygons nor run lengths'
    if segmentation.get('size') != [height, width]:
        return 'run lengths of another size than their image, [height, width]'
    counts = segmentation['counts']
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != height * width:
            return "run lengths that do not add up to their image's pixels"
    elif not _decodes(segmentation):
        return 'run lengths that cannot be decoded'
    return None


def area_and_box(segmentation: Any) -> tuple[float, list[float]]:
    """Measure a segmentation without a fault.

    Returns:
        Its area in pixels, and its box x, y, width, height. Of overlapping parts of polygons each counts.
    """
    if isinstance(segmentation, dict):
        return _run_lengths(segmentation)
    area, corners = 0.0, []
    for part in segmentation:
        points = np.asarray(part, float).reshape(-1, 2)
        x, y = points.T
        area += 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))  # shoelace formula
        corners.append((*points.min(0), *points.max(0)))
    found = np.array(corners)
    (left, top), (right, bottom) = found[:, :2].min(0), found[:, 2:].max(0)
    return area, [float(left), float(top), float(right - left), float(bottom - top)]


def _run_lengths(segmentation: dict) -> tuple[float, list[float]]:
    from pycocotools import mask  # comes with the extra `det`

    code = _compressed(segmentation)
    return float(mask.area(code)), [float(value) for value in mask.toBbox(code)]


def _compressed(segmentation: dict) -> dict:
    from pycocotools import mask

    height, width = segmentation['size']
    return segmentation if isinstance(segmentation['counts'], str) else mask.frPyObjects(segmentation, height, width)


def _decodes(segmentation: dict) -> bool:
    """Tell whether compressed run lengths add up to their image; pycocotools reads beyond it if they do not.

    Each count is in base 32, five bits a letter, little end first, 0x20 where more follow, 0x10 of the last for the
    sign; from the third on a count is the difference to that two before (pycocotools, maskApi.c, rleFrString).
    """
    counts: list[int] = []
    value = shift = 0
    for letter in segmentation['counts']:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            return False
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    height, width = segmentation['size']
    return shift == 0 and all(count >= 0 for count in counts) and sum(counts) == height * width


def outside(segmentation: Sequence[Sequence[float]], box: Sequence[float]) -> bool:
    """Tell whether polygons and the box of the same object share no point."""
    left, right = min(min(part[::2]) for part in segmentation), max(max(part[::2]) for part in segmentation)
    top, bottom = min(min(part[1::2]) for part in segmentation), max(max(part[1::2]) for part in segmentation)
    return left > box[0] + box[2] or right < box[0] or top > box[1] + box[3] or bottom < box[1]
