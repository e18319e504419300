"""Pairs of images side by side, such as near-duplicates."""

from collections.abc import Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
from mmengine import fileio

from detco_mm.transforms.decoding import UndecodableImage, read_header
from detco_mm.transforms.measuring import settle
from detco_mm.transforms.pixels import Pixels
from detco_mm.visualization.figures import MUTED, STYLE, bare, png
from detco_mm.visualization.views import Array

#: Longer side at which an image is drawn, in pixels.
_SIDE = 320


def pairs_picture(pairs: Sequence[tuple[str, str]], titles: Sequence[str], columns: int = 2) -> bytes:
    """Draw pairs of images.

    Args:
        pairs: paths of two images each.
        titles: one for each pair.
        columns: pairs in a row.

    Returns:
        PNG bytes.
    """
    if not pairs or len(pairs) != len(titles):
        raise ValueError(f'{len(pairs)} pairs and {len(titles)} titles: give one title for each pair, at least one')
    rows = -(-len(pairs) // columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(rows, 2 * columns, figsize=(4.4 * columns, 2.1 * rows), squeeze=False)
        for axes in grid.flat:
            bare(axes)
        for at, (pair, title) in enumerate(zip(pairs, titles, strict=True)):
            row, column = divmod(at, columns)
            for side, path in enumerate(pair):
                grid[row, 2 * column + side].imshow(_drawn(path))
            grid[row, 2 * column].set_title(title, fontsize=8, color=MUTED)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.04, hspace=0.22)
        return png(figure, dpi=100)


def _drawn(path: str) -> Array:
    """Read an image of any kind in three channels, as small as it is drawn."""
    data = fileio.get(path)
    header = read_header(data)
    pixels = Pixels(bands=(0, 0, 0))
    try:
        image = Pixels().read(data, header)
    except UndecodableImage:  # not 8-bit RGB: its first band, stretched for this picture alone
        image = settle([path], pixels).read(data, read_header(data))
    scale = _SIDE / max(image.shape[:2])
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return image
