"""The method in one picture: four views, two encoders, four stages, eight queues, three contrasts."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from detco_mm.visualization.figures import FAINT, INK, MUTED, PAIR_COLOURS, STAGE_COLOURS, png
from detco_mm.visualization.pictures import Array
from detco_mm.visualization.views import patch_grid, to_picture

WEIGHTS = {'res2': 0.1, 'res3': 0.4, 'res4': 0.7, 'res5': 1.0}  # the reference implementation's
QUERY, KEY = '#fdf3e3', '#e9f1fa'


def _box(
    axes: Axes, x: float, y: float, width: float, height: float, face: str, edge: str = MUTED, z: float = 2
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle='round,pad=0,rounding_size=0.9',
            facecolor=face,
            edgecolor=edge,
            linewidth=1.1,
            zorder=z,
        )
    )


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str = MUTED,
    width: float = 1.3,
    dashed: bool = False,
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle='-|>',
            mutation_scale=12,
            color=colour,
            linewidth=width,
            shrinkA=0,
            shrinkB=0,
            zorder=4,
            linestyle='--' if dashed else '-',
        )
    )


def _text(axes: Axes, x: float, y: float, text: str, size: float = 10, colour: str = INK, **kwargs: Any) -> None:
    axes.text(x, y, text, fontsize=size, color=colour, zorder=6, **{'ha': 'center', 'va': 'center', **kwargs})


def _picture(axes: Axes, picture: Array, x: float, y: float, width: float, height: float) -> None:
    axes.imshow(picture, extent=(x, x + width, y, y + height), zorder=3, interpolation='antialiased', aspect='auto')


def _encoder(axes: Axes, y: float, name: str, face: str) -> None:
    _box(axes, 42, y, 29, 17, face)
    _text(axes, 56.5, y + 14.6, name, 11.5, weight='bold')
    for at, (stage, colour) in enumerate(STAGE_COLOURS.items()):
        height = 9.4 - 1.5 * at
        x = 44.2 + 6.5 * at
        axes.add_patch(Rectangle((x, y + 6.6 - height / 2), 5.1, height, facecolor=colour, edgecolor='none', zorder=3))
        _text(axes, x + 2.55, y + 6.6, stage, 9.5, INK if at < 2 else 'white')


def _projection(axes: Axes, x: float, y: float, scope: str, side: str, face: str) -> None:
    _box(axes, x, y, 17, 7.6, face)
    _text(axes, x + 8.5, y + 5.3, f'{scope} {side}', 10.5, weight='bold')
    _text(axes, x + 8.5, y + 2.3, 'MLP, unit vector, 128-d', 8.6, MUTED)


def _queue(axes: Axes, x: float, y: float, scope: str) -> None:
    for cell in range(8):
        axes.add_patch(
            Rectangle(
                (x + 0.5 + 2 * cell, y),
                2,
                2.6,
                facecolor='#e9f1fa',
                edgecolor=MUTED,
                linewidth=0.9,
                alpha=1 - 0.09 * cell,
                zorder=3,
            )
        )
    _text(axes, x + 8.5, y - 1.9, f'{scope} queue: earlier keys', 9, MUTED)


def method_picture(image: Array, views: Sequence[npt.ArrayLike]) -> bytes:
    """Draw the method with the views of a real image.

    Args:
        image: uint8 RGB (H, W, 3).
        views: global query and key (3, H, W), local query and key (P, 3, h, w), uint8 RGB.

    Returns:
        PNG bytes.
    """
    with plt.rc_context({'font.family': 'DejaVu Sans'}):
        figure = plt.figure(figsize=(13.2, 6.6))
        axes = figure.add_axes((0, 0, 1, 1))
        height = 16 * image.shape[0] / image.shape[1]
        _picture(axes, image, 1, 33 - height / 2, 16, height)
        _text(axes, 9, 33 + height / 2 + 1.8, 'one image X', 10.5)

        pictures = [to_picture(views[0]), patch_grid(views[2]), to_picture(views[1]), patch_grid(views[3])]
        labels = ('T1, global', 'T3, local: 9 patches', 'T2, global', 'T4, local: 9 patches')
        for picture, label, y in zip(pictures, labels, (50.4, 35.0, 19.6, 4.2), strict=True):
            _picture(axes, picture, 24.5, y, 11, 11)
            _text(axes, 30, y + 12.4, label, 9.5, MUTED)
            _arrow(axes, (17.5, 33), (23.7, y + 5.5))
        for y, (low, high) in ((43.5, (40.5, 55.9)), (14.5, (9.7, 25.1))):
            target = y + 4.5
            _arrow(axes, (36.2, high), (41.6, target + 1.6))
            _arrow(axes, (36.2, low), (41.6, target - 1.6))
        _encoder(axes, 39.5, 'query encoder', QUERY)
        _encoder(axes, 10.5, 'key encoder', KEY)
        _arrow(axes, (56.5, 39.1), (56.5, 27.9), dashed=True)
        _text(axes, 57.5, 33.4, 'moving average,\nno gradient', 9.5, MUTED, ha='left')

        for shift in (2.1, 1.4, 0.7):  # three more sheets behind: the same at every stage
            _box(axes, 78 + shift, 2.2 + shift, 49.4, 58.2, 'white', FAINT, z=1)
        _box(axes, 78, 2.2, 49.4, 58.2, 'white', MUTED, z=1.5)
        _text(axes, 102.7, 57.9, 'at each of the four stages', 11.5, weight='bold')
        _arrow(axes, (71.4, 48), (77.6, 48))
        _arrow(axes, (71.4, 19), (77.6, 19))

        left, right = 82, 106.5
        _projection(axes, left, 47.0, 'global', 'query', QUERY)
        _projection(axes, right, 47.0, 'local', 'query', QUERY)
        _projection(axes, left, 23.5, 'global', 'key', KEY)
        _projection(axes, right, 23.5, 'local', 'key', KEY)
        for pair, start, end, at in (
            ('g2g', (left + 7, 46.6), (left + 7, 31.5), (left + 7, 39.0)),
            ('l2l', (right + 10, 46.6), (right + 10, 31.5), (right + 10, 39.0)),
            ('l2g', (right + 3, 46.6), (left + 14, 31.5), (right - 3.7, 39.0)),
        ):
            _arrow(axes, start, end, PAIR_COLOURS[pair], 2.6)
            axes.text(
                at[0],
                at[1],
                pair,
                fontsize=12,
                color='white',
                weight='bold',
                ha='center',
                va='center',
                zorder=7,
                bbox={'boxstyle': 'round,pad=0.35', 'facecolor': PAIR_COLOURS[pair], 'edgecolor': 'none'},
            )
        for x, scope in ((left, 'global'), (right, 'local')):
            _arrow(axes, (x + 8.5, 23.1), (x + 8.5, 19.5))
            _queue(axes, x, 16.4, scope)
        _text(axes, 102.7, 10.4, 'each arrow is an InfoNCE loss, weighted by stage:', 9, MUTED)
        weights = ',  '.join(f'{stage} {weight:g}' for stage, weight in WEIGHTS.items())
        _text(axes, 102.7, 7.6, weights, 9.5)
        _text(axes, 102.7, 4.8, 'positive: the key of the same image;  negatives: the queue', 9, MUTED)
        axes.set_xlim(0, 131)
        axes.set_ylim(0, 65.5)
        axes.axis('off')
        return png(figure, dpi=110, colours=255)
