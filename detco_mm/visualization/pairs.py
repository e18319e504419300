"""Pairs of images side by side, such as near-duplicates."""

from collections.abc import Sequence

import matplotlib.pyplot as plt

from detco_mm.visualization.figures import MUTED, STYLE, bare, png
from detco_mm.visualization.pictures import drawable

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
                grid[row, 2 * column + side].imshow(drawable(path, _SIDE))
            grid[row, 2 * column].set_title(title, fontsize=8, color=MUTED)
        figure.subplots_adjust(left=0, right=1, bottom=0, top=1, wspace=0.04, hspace=0.22)
        return png(figure, dpi=100)
