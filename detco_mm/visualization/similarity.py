"""Which points of one image a backbone finds like a point of another: cosine similarity of stage maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from detco_mm.visualization.figures import INK, MUTED, STAGES, STYLE, bare, png
from detco_mm.visualization.pictures import Array, visible

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class StageMaps:
    """What a backbone makes of an image.

    Args:
        image: uint8 RGB (H, W, 3), of the size that the backbone saw.
        maps: by stage, unit vectors (h, w, C).
    """

    image: Array
    maps: Mapping[str, Floats]


@torch.no_grad()
def stage_maps(
    backbone: nn.Module, image: Array, mean: Sequence[float], std: Sequence[float], side: int = 320
) -> StageMaps:
    """Run a backbone over an image.

    Args:
        backbone: in evaluation mode; maps (1, N, H, W) to the maps of res2..res5.
        image: (H, W, N) uint8, RGB for three channels.
        mean: of the channels, 0 to 255.
        std: of the channels.
        side: longer side of what the backbone sees, in pixels; both are rounded to multiples of 32, its stride.
    """
    scale = side / max(image.shape[:2])
    height, width = (max(32, round(length * scale / 32) * 32) for length in image.shape[:2])
    bands = [cv2.resize(band, (width, height), interpolation=cv2.INTER_AREA) for band in cv2.split(image)]
    resized = np.asarray(np.stack(bands, axis=2), np.uint8)
    pixels = (resized.astype(np.float32) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    maps = backbone(torch.from_numpy(pixels.transpose(2, 0, 1))[None])
    units = [torch.nn.functional.normalize(stage_map[0], dim=0).permute(1, 2, 0).numpy() for stage_map in maps]
    return StageMaps(visible(resized), dict(zip(STAGES, units, strict=True)))


def similarity(maps: Floats, other: Floats, point: tuple[float, float]) -> Floats:
    """Compare one place with all places of another map.

    Args:
        maps: unit vectors (h, w, C), of which one is looked up.
        other: unit vectors (h', w', C).
        point: x and y as shares of width and height, 0 to 1.

    Returns:
        (h', w') cosines.

    Raises:
        ValueError: if the point lies outside.
    """
    x, y = point
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise ValueError(f'point ({x}, {y}) lies outside the image: give x and y as shares of its sides, 0 to 1')
    height, width = maps.shape[:2]
    vector = maps[min(int(y * height), height - 1), min(int(x * width), width - 1)]
    cosines: Floats = other @ vector
    return cosines


def similarity_picture(
    sides: Mapping[str, tuple[StageMaps, StageMaps]], point: tuple[float, float], stages: Sequence[str] = STAGES
) -> bytes:
    """Draw the similarity maps of several backbones, one a row, stages from left to right.

    Each map is drawn over the full range of its own cosines, which is written below it: an untrained backbone's are all
    close to one.

    Args:
        sides: maps of the image with the point, and of the other image, by the name of the backbone.
        point: x and y as shares of width and height.
        stages: columns.

    Returns:
        PNG bytes.
    """
    with plt.rc_context(STYLE):
        tallest = max(maps.image.shape[0] / maps.image.shape[1] for pair in sides.values() for maps in pair)
        size = 2.1 * (1 + len(stages)), (2.1 * tallest + 0.3) * len(sides)
        figure, grid = plt.subplots(len(sides), 1 + len(stages), figsize=size, squeeze=False)
        for row, (name, (one, other)) in enumerate(sides.items()):
            height, width = one.image.shape[:2]
            axes = bare(grid[row][0])
            axes.imshow(one.image)
            axes.plot(point[0] * width - 0.5, point[1] * height - 0.5, '+', color='white', markersize=15, mew=5)
            axes.plot(point[0] * width - 0.5, point[1] * height - 0.5, '+', color='#d00020', markersize=13, mew=2.5)
            axes.set_ylabel(name, color=INK)
            for axes, stage in zip(grid[row][1:], stages, strict=True):
                cosines = similarity(one.maps[stage], other.maps[stage], point)
                bare(axes).imshow(cv2.cvtColor(cv2.cvtColor(other.image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
                axes.imshow(
                    cv2.resize(cosines, other.image.shape[1::-1], interpolation=cv2.INTER_NEAREST),
                    cmap='magma',
                    alpha=0.75,
                )
                axes.set_xlabel(f'{cosines.min():.2f} to {cosines.max():.2f}', color=MUTED, fontsize=8)
                if row == 0:
                    axes.set_title(stage, loc='center', color=MUTED)
        grid[0][0].set_title('point', loc='center', color=MUTED)
        figure.subplots_adjust(left=0.03, right=1, bottom=0.03, top=1, wspace=0.05, hspace=0.18)
        return png(figure, dpi=110)
