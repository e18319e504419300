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

    What is left takes its planned time, scaled by how much slower or faster than planned this machine has been so far;
    the plan itself counts as `trust` seconds of experience, so that a short first step does not decide.

    Args:
        planned: seconds that each step took on the machine on which the plan was made, in order.
        trust: seconds in which this machine is supposed to have kept to the plan.
    """

    planned: Sequence[float]
    trust: float = 60.0
    taken: list[float] = field(default_factory=list)

    def finish(self, seconds: float | None) -> None:
        """Note that the current step is over; None for one that was not run."""
        self.taken.append(float('nan') if seconds is None else seconds)

    def begin(self, fraction: float) -> None:
        """Note that a share of the current step, from 0 to 1, was done by an earlier run: the rest is what is left."""
        at = len(self.taken)
        self.planned = [plan * (1 - fraction) if i == at else plan for i, plan in enumerate(self.planned)]

    def left(self, elapsed: float = 0.0, fraction: float = 0.0) -> float:
        """Return the seconds left.

        Args:
            elapsed: seconds since the current step began.
            fraction: share of the current step that is done, from 0 to 1.
        """
        at = len(self.taken)
        if at >= len(self.planned):
            return 0.0
        done = self.planned[at] * fraction
        pairs = [(took, plan) for took, plan in zip(self.taken, self.planned, strict=False) if took == took]
        if fraction > 0:
            pairs.append((elapsed, done))
        pace = (self.trust + sum(took for took, _ in pairs)) / (self.trust + sum(plan for _, plan in pairs))
        this = pace * (self.planned[at] - done)
        # No share is known of a step that logs no steps: its time runs down.
        return (this if fraction > 0 else max(0.0, this - elapsed)) + pace * sum(self.planned[at + 1 :])
