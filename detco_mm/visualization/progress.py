"""How far a chain of steps has come, and how long it will still take."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detco_mm.visualization.scalars import read_rows, training_rows


def fraction_done(work_dir: str | Path, total_steps: int) -> float:
    """Return the share of a training run's iterations that its scalars show as done, from 0 to 1."""
    rows = training_rows(read_rows(work_dir))
    if not rows or total_steps < 1:
        return 0.0
    return min(1.0, float(rows[-1].get('step', 0)) / total_steps)


def total_steps(config: Mapping[str, Any], images: int) -> int:
    """Return how many iterations a configuration trains for, on one process.

    Args:
        config: with ``train_cfg`` and ``train_dataloader``.
        images: number of images in the training set.
    """
    train, loader = config['train_cfg'], config['train_dataloader']
    if train.get('max_iters'):
        return int(train['max_iters'])
    batch = loader['batch_size']
    full = loader.get('drop_last') or loader.get('sampler', {}).get('drop_last')
    return int(train['max_epochs']) * (images // batch if full else math.ceil(images / batch))


def clock(seconds: float) -> str:
    """Write seconds as ``m:ss`` or ``h:mm:ss``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f'{hours}:{minutes:02d}:{secs:02d}' if hours else f'{minutes}:{secs:02d}'


def tail(path: str | Path, lines: int = 25) -> str:
    """Return the last lines of a log, without terminal colours."""
    text = Path(path).read_text(encoding='utf-8', errors='replace') if Path(path).is_file() else ''
    return '\n'.join(re.sub(r'\x1b\[[0-9;]*m', '', text).splitlines()[-lines:])


@dataclass
class Forecast:
    """The time left of a chain of steps, from a plan that is corrected by what the steps took.

    A step in progress is extrapolated from the share of it that is done, once that is enough to go by; a step to come
    takes its planned time, scaled by how much slower or faster than planned this machine has been so far.

    Args:
        planned: seconds that each step took on the machine on which the plan was made, in order.
        trusted_from: share of a step from which its own speed is believed rather than the plan.
    """

    planned: Sequence[float]
    trusted_from: float = 0.05
    taken: list[float] = field(default_factory=list)

    def finish(self, seconds: float | None) -> None:
        """Note that the current step is over; None for one that was not run."""
        self.taken.append(float('nan') if seconds is None else seconds)

    def left(self, elapsed: float = 0.0, fraction: float = 0.0) -> float:
        """Return the seconds left.

        Args:
            elapsed: seconds since the current step began.
            fraction: share of the current step that is done, from 0 to 1.
        """
        at = len(self.taken)
        if at >= len(self.planned):
            return 0.0
        pairs = [(took, plan) for took, plan in zip(self.taken, self.planned, strict=False) if took == took]
        this = None
        if fraction >= self.trusted_from:
            this = elapsed / fraction
            pairs.append((this, self.planned[at]))
        plan_sum = sum(plan for _, plan in pairs)
        pace = sum(took for took, _ in pairs) / plan_sum if plan_sum > 0 else 1.0
        whole = this if this is not None else self.planned[at] * pace
        return max(0.0, whole - elapsed) + pace * sum(self.planned[at + 1 :])
