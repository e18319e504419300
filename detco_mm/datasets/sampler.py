"""ResumableSampler: the order of images, and the randomness of each, whenever a run was stopped."""

import itertools
import random
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dataset import DefaultSampler

from detco_mm.registry import DATA_SAMPLERS


class SeededIndex(int):
    """An index that brings along what the image's augmentation is seeded with.

    RepeatDataset finds its image by %, ConcatDataset by -: what they hand on brings it along as well, and tells the
    repetitions of an image apart.

    Args:
        index: of the image.
        seed: of the run, and the epoch.
        drawn: index that the sampler drew; by default the same.
    """

    seed: tuple[int, int]
    drawn: int

    def __new__(cls, index: int, seed: tuple[int, int], drawn: int | None = None) -> 'SeededIndex':
        """Make one."""
        made = super().__new__(cls, index)
        made.seed = seed
        made.drawn = int(index) if drawn is None else drawn
        return made

    def __getnewargs__(self) -> tuple[int, tuple[int, int], int]:  # type: ignore[override]  # typeshed fixes int's
        """Tell pickle what to make it of, on its way to a data worker; int's own makes it of the number alone."""
        return int(self), self.seed, self.drawn

    def __mod__(self, other: int) -> 'SeededIndex':
        """Index of an image that is repeated."""
        return SeededIndex(int(self) % other, self.seed, self.drawn)

    def __sub__(self, other: int) -> 'SeededIndex':
        """Index in a data set that comes behind others."""
        return SeededIndex(int(self) - other, self.seed, self.drawn)

    def seed_generators(self) -> None:
        """Seed the global generators of NumPy, Python and PyTorch's CPU, from which transforms draw."""
        seed, epoch = self.seed
        np.random.seed((seed % 2**32, epoch, self.drawn))
        for_python, for_torch = np.random.randint(2**31, size=2)
        random.seed(int(for_python))
        torch.default_generator.manual_seed(int(for_torch))


@DATA_SAMPLERS.register_module()
class ResumableSampler(DefaultSampler):
    """MMEngine's DefaultSampler, which can start in the middle of an epoch; arguments as there.

    An image is augmented as (seed, epoch, index) say, so it does not matter how many workers there are, which of them
    takes it, and what came before.
    """

    _start = 0

    def resume(self, seed: int, start: int) -> None:
        """Go through the next epoch as a run with this seed would, from this rank's image number ``start`` on."""
        self.seed = seed
        self._start = start

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of this rank in this epoch."""
        start, self._start = self._start, 0
        for index in itertools.islice(super().__iter__(), start, None):
            yield SeededIndex(index, (self.seed, self.epoch))
