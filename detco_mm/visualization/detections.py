"""Boxes and masks drawn onto images, and models beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from detco_mm.visualization.figures import MUTED, STYLE, bare, png

Array = npt.NDArray[np.uint8]
# Okabe and Ito's palette for the colour-blind, RGB, with a brown in place of its black.
CLASS_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (140, 90, 50),
)


@dataclass
class Objects:
    """The objects of one image, found or annotated.

    Args:
        boxes: (M, 4) corners x1, y1, x2, y2 in pixels of the image.
        labels: (M,) class indices.
        masks: (M, H, W) booleans, or None.
        scores: (M,) from 0 to 1, or None for annotations.
    """

    boxes: npt.NDArray[np.floating]
    labels: npt.NDArray[np.integer]
    masks: npt.NDArray[np.bool_] | None = None
    scores: npt.NDArray[np.floating] | None = None

    def best(self, count: int) -> 'Objects':
        """Return the `count` objects of the highest scores, or all if there are fewer."""
        if self.scores is None:
            raise ValueError('annotations have no scores to choose by')
        keep = np.argsort(-self.scores, kind='stable')[:count]
        masks = None if self.masks is None else self.masks[keep]
        return Objects(self.boxes[keep], self.labels[keep], masks, self.scores[keep])


def draw_objects(image: Array, objects: Objects, classes: Sequence[str], side: int = 420) -> Array:
    """Draw boxes, masks and names onto an enlarged copy of an image.

    Args:
        image: uint8 RGB (H, W, 3).
        objects: what to draw.
        classes: names by class index.
        side: length in pixels of the longer side of the picture.

    Returns:
        uint8 RGB, the longer side ``side`` pixels long.
    """
    scale = side / max(image.shape[:2])
    width, height = round(image.shape[1] * scale), round(image.shape[0] * scale)
    canvas = np.ascontiguousarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    for index in range(len(objects.boxes)):
        colour = CLASS_COLOURS[int(objects.labels[index]) % len(CLASS_COLOURS)]
        if objects.masks is not None:
            mask = cv2.resize(
                objects.masks[index].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
            ).astype(bool)
            canvas[mask] = (0.55 * canvas[mask] + 0.45 * np.array(colour)).astype(np.uint8)
    for index in range(len(objects.boxes)):
        label = int(objects.labels[index])
        colour = CLASS_COLOURS[label % len(CLASS_COLOURS)]
        x1, y1, x2, y2 = (round(float(value) * scale) for value in objects.boxes[index])
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, 2, cv2.LINE_AA)
        name = classes[label] if 0 <= label < len(classes) else str(label)
        text = name if objects.scores is None else f'{name} {float(objects.scores[index]):.2f}'
        (text_width, text_height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
        left = min(max(0, x1), max(0, width - text_width - 4))
        bottom = min(max(text_height + base + 2, y1), height)
        cv2.rectangle(canvas, (left, bottom - text_height - base - 2), (left + text_width + 4, bottom), colour, -1)
        ink = (0, 0, 0) if sum(colour) > 330 else (255, 255, 255)
        cv2.putText(canvas, text, (left + 2, bottom - base), cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)
    return canvas


def detections_picture(
    images: Sequence[Array], columns: Mapping[str, Sequence[Objects]], classes: Sequence[str]
) -> bytes:
    """Draw the same images once for each model, beside each other.

    Args:
        images: uint8 RGB (H, W, 3) each.
        columns: objects of every image, by the title of the column, such as ground truth and two models.
        classes: names by class index.

    Returns:
        PNG bytes.
    """
    if not images or any(len(objects) != len(images) for objects in columns.values()):
        raise ValueError(
            f'{len(images)} images, and columns of '
            f'{[len(objects) for objects in columns.values()]}: give one entry for each image'
        )
    with plt.rc_context(STYLE):
        height = max(image.shape[0] / image.shape[1] for image in images)
        figure, grid = plt.subplots(
            len(images), len(columns), squeeze=False, figsize=(3.4 * len(columns), 3.4 * height * len(images))
        )
        for row, image in enumerate(images):
            for axes, (title, objects) in zip(grid[row], columns.items(), strict=True):
                bare(axes).imshow(draw_objects(image, objects[row], classes))
                if row == 0:
                    axes.set_title(title, loc='center', color=MUTED)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.02, hspace=0.02)
        return png(figure, dpi=90)
