"""SkipCounts: how many files were tried and which could not be used, over all data workers of a process."""

import torch
from torch.utils.data import get_worker_info

from detco_mm.transforms.decoding import REASONS

#: Cells for so many workers; those of further ones are shared.
_WORKERS = 256
#: How many items each worker keeps in mind as examples.
_EXAMPLES = 5


class SkipCounts:
    """Counts in memory that the workers share with the process that started them, each in cells of its own."""

    def __init__(self) -> None:
        self._tried = torch.zeros(_WORKERS, dtype=torch.int64).share_memory_()
        self._skipped = torch.zeros(_WORKERS, len(REASONS), dtype=torch.int64).share_memory_()
        self._examples = torch.full((_WORKERS, _EXAMPLES), -1, dtype=torch.int64).share_memory_()

    def note_tried(self) -> None:
        """Count a file, whatever comes of it."""
        self._tried[_cell()] += 1

    def note_skipped(self, reason: str, index: int) -> None:
        """Count a file that cannot be used.

        Args:
            reason: one of REASONS.
            index: of its item in the data set; -1 if it is in none.
        """
        cell = _cell()
        self._skipped[cell, REASONS.index(reason)] += 1
        known = self._examples[cell]
        if index not in known.tolist():
            known.copy_(torch.cat([torch.tensor([index]), known[:-1]]))

    @property
    def tried(self) -> int:
        """How many times a file was opened."""
        return int(self._tried.sum())

    @property
    def by_reason(self) -> dict[str, int]:
        """Reason -> how many times a file was skipped for it; all of REASONS."""
        return dict(zip(REASONS, self._skipped.sum(0).tolist(), strict=True))

    @property
    def examples(self) -> list[int]:
        """Indices of some items that were skipped, the same number for each worker."""
        return sorted({index for index in self._examples.flatten().tolist() if index >= 0})


def _cell() -> int:
    worker = get_worker_info()
    return 0 if worker is None else 1 + worker.id % (_WORKERS - 1)
