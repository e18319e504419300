"""The four views of an image as a picture."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from detco_mm.visualization.figures import MUTED, STYLE, bare, png

Array = npt.NDArray[np.uint8]
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


def views_picture(images: Sequence[Array], items: Sequence[Sequence[npt.ArrayLike]]) -> bytes:
    """Draw images and their views, one image a row.

    Args:
        images: the images, uint8 RGB (H, W, 3).
        items: for each the four views of a packed item: global query and key (3, H, W), local query and key
            (P, 3, h, w), all uint8.

    Returns:
        PNG bytes.
    """
    if not images or len(images) != len(items):
        raise ValueError(
            f'{len(images)} images and {len(items)} packed items: give one item for each image, at least one'
        )
    rows = len(images)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(rows, 5, figsize=(10, 2.15 * rows), squeeze=False)
        for row, (image, item) in enumerate(zip(images, items, strict=True)):
            pictures = [image, *(to_picture(view) for view in item[:2]), *(patch_grid(view) for view in item[2:])]
            for axes, picture, title in zip(grid[row], pictures, ('image', *TITLES), strict=True):
                bare(axes).imshow(picture)
                if row == 0:
                    axes.set_title(title, loc='center', color=MUTED)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.04, hspace=0.06)
        return png(figure, dpi=100)
