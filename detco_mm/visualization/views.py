"""The four views of an image as a picture."""

from collections.abc import Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from detco_mm.visualization.figures import INK, MUTED, PAIR_COLOURS, STYLE, bare, png
from detco_mm.visualization.pictures import Array

TITLES = ('global, query', 'global, key', 'local, query', 'local, key')


def to_picture(view: npt.ArrayLike) -> Array:
    """Turn a channels-first view into a picture.

    Args:
        view: uint8 RGB, (3, H, W).

    Returns:
        (H, W, 3).
    """
    array = np.asarray(view)
    if array.ndim != 3 or array.shape[0] != 3 or array.dtype != np.uint8:
        raise ValueError(
            f'a view is uint8 of shape (3, H, W), this one is {array.dtype} of shape {array.shape}: '
            'pass the packed item, before the preprocessor'
        )
    return np.ascontiguousarray(array.transpose(1, 2, 0))


def patch_grid(patches: npt.ArrayLike, gap: int = 4) -> Array:
    """Lay a square number of patches out in reading order.

    Args:
        patches: uint8 RGB, (P, 3, h, w) with P a square number.
        gap: white pixels between the patches.

    Returns:
        (side * h + (side - 1) * gap, side * w + (side - 1) * gap, 3) with side the square root of P.
    """
    array = np.asarray(patches)
    side = round(array.shape[0] ** 0.5)
    if array.ndim != 4 or side * side != array.shape[0]:
        raise ValueError(f'patches have shape (P, 3, h, w) with P a square number, these have {array.shape}')
    height, width = array.shape[2:]
    canvas = np.full((side * (height + gap) - gap, side * (width + gap) - gap, 3), 255, np.uint8)
    for index, patch in enumerate(array):
        y, x = divmod(index, side)
        top, left = y * (height + gap), x * (width + gap)
        canvas[top : top + height, left : left + width] = to_picture(patch)
    return canvas


Box = tuple[float, float, float, float]
# Query and key of the global views, then of the local ones: a hue for each scope, a lighter line for the key.
BOX_COLOURS = (PAIR_COLOURS['g2g'], '#7fb8dd', PAIR_COLOURS['l2l'], '#f0ae7d')


def augmentation_picture(
    image: Array, boxes: Sequence[Box], augmented: Sequence[Array], patches: Sequence[npt.ArrayLike], grid: int = 3
) -> bytes:
    """Draw how the four views of one image come about: where they were cut, before and after augmentation.

    Args:
        image: uint8 RGB (H, W, 3).
        boxes: of the four views: top, left, height, width as shares of the image's sides.
        augmented: the four views, uint8 RGB (h, w, 3), the local ones before they were cut into patches.
        patches: the patches of the two local views, uint8 RGB (P, h, w, 3).
        grid: cells along a side of a local view.

    Returns:
        PNG bytes.
    """
    height, width = image.shape[:2]
    before = []
    for (top, left, box_height, box_width), view in zip(boxes, augmented, strict=True):
        y, x = round(top * height), round(left * width)
        crop = image[y : y + max(1, round(box_height * height)), x : x + max(1, round(box_width * width))]
        before.append(cv2.resize(crop, view.shape[1::-1], interpolation=cv2.INTER_AREA))
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(10, 2.7))
        layout = figure.add_gridspec(2, 8, width_ratios=(2.1, 0.12, 1, 1, 1, 1, 1, 1), wspace=0.06, hspace=0.06)
        axes = bare(figure.add_subplot(layout[:, 0]))
        axes.imshow(image)
        axes.set_title('image', loc='center', color=MUTED)
        for (top, left, box_height, box_width), colour in zip(boxes, BOX_COLOURS, strict=True):
            where = (left * width - 0.5, top * height - 0.5), box_width * width, box_height * height
            axes.add_patch(Rectangle(*where, fill=False, edgecolor=colour, linewidth=2, clip_on=False))
        for column, title in enumerate(TITLES):
            for row, pictures in enumerate((before, augmented)):
                axes = bare(figure.add_subplot(layout[row, 2 + column]))
                axes.imshow(pictures[column])
                if column >= 2:
                    _cells(axes, pictures[column].shape, grid)
                if row == 0:
                    axes.set_title(title, loc='center', color=BOX_COLOURS[column], fontsize=9)
                if column == 0:
                    axes.set_ylabel(('cut out', 'augmented')[row], color=INK, fontsize=9)
        for at, title in enumerate(('patches, query', 'patches, key')):
            axes = bare(figure.add_subplot(layout[1, 6 + at]))
            axes.imshow(patch_grid(np.asarray(patches[at]).transpose(0, 3, 1, 2)))
            axes.set_title(title, loc='center', color=BOX_COLOURS[2 + at], fontsize=9)
        return png(figure, dpi=120)


def _cells(axes: Axes, shape: Sequence[int], grid: int) -> None:
    """Draw the lines along which a local view is cut."""
    for at in range(1, grid):
        axes.axhline(at * shape[0] / grid - 0.5, color='white', linewidth=1)
        axes.axvline(at * shape[1] / grid - 0.5, color='white', linewidth=1)
