"""JigsawPatches: a view -> nine shuffled patches."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from detco_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class JigsawPatches:
    """Cut views into a grid of cells, take a random crop of each cell, and shuffle the crops.

    Offsets and order are drawn anew for each view of each image. Rows and columns that are left over when the side is
    no multiple of ``grid`` are not used.

    Args:
        grid: Cells along a side; P = grid * grid patches.
        patch_size: Side of a patch, in pixels.
        indices: Which of ``views`` to cut: the local query and the local key.

    Raises:
        ValueError: if a number is below 1, or, when called, if a cell is smaller than a patch.

    Source: PIRL, section 3.3: 255 pixels, 3 x 3 cells of 85, patches of 64.
    """

    def __init__(self, grid: int = 3, patch_size: int = 64, indices: Sequence[int] = (2, 3)) -> None:
        for name, value in (('grid', grid), ('patch_size', patch_size)):
            if value < 1:
                raise ValueError(f'{name}={value} cuts nothing: set it to at least 1')
        self.grid = int(grid)
        self.patch_size = int(patch_size)
        self.indices = tuple(indices)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Replace the chosen (H, W, C) views by (P, patch_size, patch_size, C) patches."""
        views = list(results['views'])
        for index in self.indices:
            views[index] = self.cut(views[index])
        results['views'] = views
        return results

    def check_sizes(self, sizes: Sequence[int]) -> None:
        """Refuse, before the first step, views that cannot be cut; say so where their edges stay unused.

        Args:
            sizes: sides of the views, in pixels.

        Raises:
            ValueError: if a cell is smaller than a patch, or ``indices`` names a view that does not exist.
        """
        if wrong := [index for index in self.indices if not -len(sizes) <= index < len(sizes)]:
            raise ValueError(f'JigsawPatches.indices={self.indices}: there is no view {wrong[0]}, only {len(sizes)}')
        for size in dict.fromkeys(sizes[index] for index in self.indices):
            self._check_cell(size, size)
            if size % self.grid:
                print_log(
                    f'local views of {size} pixels make {self.grid}x{self.grid} cells of {size // self.grid}: the last '
                    f'{size % self.grid} rows and columns are not used; a multiple of {self.grid} wastes none',
                    logger='current',
                    level=logging.WARNING,
                )

    def _check_cell(self, height: int, width: int) -> None:
        grid, size = self.grid, self.patch_size
        if min(height // grid, width // grid) < size:
            raise ValueError(
                f'a view of {height}x{width} pixels has {grid}x{grid} cells of {height // grid}x{width // grid}, too '
                f'small for patches of {size}x{size}: raise DetCoViews.local_size to at least {grid * size} or lower '
                'JigsawPatches.patch_size'
            )

    def cut(self, view: np.ndarray) -> np.ndarray:
        """Cut one view.

        Args:
            view: (H, W, C).

        Returns:
            (P, patch_size, patch_size, C), a copy, in random order.

        Raises:
            ValueError: if a cell is smaller than a patch.
        """
        grid, size = self.grid, self.patch_size
        cell_height, cell_width = view.shape[0] // grid, view.shape[1] // grid
        self._check_cell(view.shape[0], view.shape[1])
        room = np.array([[cell_height - size + 1], [cell_width - size + 1]])
        tops, lefts = (room * np.random.random((2, grid * grid))).astype(int).tolist()
        patches = np.empty((grid * grid, size, size, *view.shape[2:]), view.dtype)
        for cell, place in enumerate(np.random.permutation(grid * grid)):
            top = cell // grid * cell_height + tops[cell]
            left = cell % grid * cell_width + lefts[cell]
            patches[place] = view[top : top + size, left : left + size]
        return patches
