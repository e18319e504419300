"""A look at labelled images."""

from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from detco_mm.datasets.coco_labels import Labels
from detco_mm.visualization.detections import Objects, draw_objects
from detco_mm.visualization.figures import MUTED, STYLE, bare, png
from detco_mm.visualization.pictures import drawable

_COLUMNS = 4


def labels_picture(labels: Labels, folder: str | Path, count: int = 12) -> bytes:
    """Draw images spread evenly over those with an object, with their boxes, names and polygons.

    Args:
        labels: as they were checked; boxes are drawn as they are written.
        folder: of the images.
        count: how many, at most.

    Returns:
        PNG bytes.

    Raises:
        FileNotFoundError: if an image cannot be decoded.
        ValueError: if no image with an object can be drawn.
    """
    objects: dict[int, list[dict]] = {}
    for found in labels.objects:
        if found['image_id'] not in labels.lost:
            objects.setdefault(found['image_id'], []).append(found)
    if not objects:
        raise ValueError(f'"{labels.path}": no image with an object can be drawn')
    names = {category['id']: str(category.get('name')) for category in labels.content['categories']}
    order = list(names)
    ids = sorted(objects)
    chosen = [ids[at * len(ids) // min(count, len(ids))] for at in range(min(count, len(ids)))]
    with plt.rc_context(STYLE):
        rows = -(-len(chosen) // _COLUMNS)
        figure, grid = plt.subplots(rows, _COLUMNS, squeeze=False, figsize=(3.4 * _COLUMNS, 3.2 * rows))
        for axes in grid.flat:
            bare(axes)
        for axes, id_ in zip(grid.flat, chosen, strict=False):
            name = labels.images[id_]['file_name']
            image = drawable(Path(folder, name))
            drawn = _objects(objects[id_], order, image.shape[:2])
            axes.imshow(draw_objects(image, drawn, list(names.values())))
            axes.set_title(name if len(name) <= 40 else f'...{name[-37:]}', loc='center', color=MUTED, fontsize=7)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=0.97, wspace=0.02, hspace=0.1)
        return png(figure, dpi=90)


def _objects(found: list[dict], order: list[int], size: tuple[int, ...]) -> Objects:
    boxes = np.array([one['bbox'] for one in found], float)
    boxes[:, 2:] += boxes[:, :2]
    outlines = [one.get('segmentation') for one in found]
    masks = np.zeros((len(found), *size), np.uint8)
    for mask, outline in zip(masks, outlines, strict=True):
        if isinstance(outline, list):
            parts = [np.round(np.reshape(part, (-1, 2))).astype(np.int32) for part in outline if len(part) >= 6]
            cv2.fillPoly(mask, parts, (1,))
    known = [order.index(one['category_id']) if one['category_id'] in order else -1 for one in found]
    return Objects(boxes, np.array(known, int), masks.astype(bool) if masks.any() else None)
