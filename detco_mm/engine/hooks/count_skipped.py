"""CountSkipped: how many files a run could not use, and when they are too many."""

from itertools import chain
from typing import Any

from mmengine.dist import all_gather_object, all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import tensor

from detco_mm.engine.errors import RunStopped
from detco_mm.registry import HOOKS

#: Tries, of all ranks together, from which on a share is judged. Where 2 % of the files are broken, more than 5 % of
#: 200 tries fail in 1 of 400 runs (binomial distribution).
MIN_TRIES = 200


@HOOKS.register_module()
class CountSkipped(Hook):
    """Count skipped files over all ranks, and stop every rank where they are too many.

    The files' names and reasons are in the log of the rank that met them.

    Args:
        max_share: of all tries to use a file, the share that may fail; 1 for never stopping. The default is a choice of
            this project: a collection from the web has a few broken files in a hundred, and more than one in twenty
            rather tells of a copy that was cut off or a disk that fails.
        interval: steps from one look to the next, which costs a small all-reduce.

    Raises:
        ValueError: if an argument is out of its bounds.
        RunStopped: in training, from every rank, if more than ``max_share`` of at least :data:`MIN_TRIES` tries failed.
    """

    def __init__(self, max_share: float = 0.05, interval: int = 50) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share={max_share}: it is a share, 0 to 1')
        if interval < 1:
            raise ValueError(f'interval={interval}: it is a number of steps, at least 1')
        self.max_share = max_share
        self.interval = interval

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stop if there are too many, at every `interval`."""
        if self.every_n_train_iters(runner, self.interval):
            self._judge(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Stop if there are too many, and warn of any."""
        if counts := self._judge(runner):
            runner.logger.warning(
                f'{sum(counts.values())} times up to now an image could not be decoded and another one took its place: '
                f'{_listed(counts)}'
            )

    def _judge(self, runner: Runner) -> dict[str, int]:
        """Return how often each reason was met on all ranks, the most frequent first; none that was not."""
        dataset = runner.train_dataloader.dataset
        skips = getattr(dataset, 'skips', None)
        if skips is None:  # another kind of data set, on every rank
            return {}
        numbers = tensor([skips.tried, *skips.by_reason.values()])
        all_reduce(numbers)
        tried, *skipped = numbers.tolist()
        pairs = sorted(zip(skips.by_reason, skipped, strict=True), key=lambda pair: -pair[1])
        counts = {reason: count for reason, count in pairs if count}
        total = sum(skipped)
        if tried >= MIN_TRIES and total > self.max_share * tried:
            here = [dataset.get_data_info(index)['img_path'] for index in skips.examples[:5]]
            paths = list(dict.fromkeys(chain(*all_gather_object(here))))[:5]
            raise RunStopped(
                f'{total} of {tried} tries to use a file failed, {100 * total / tried:.1f} %, above the limit of '
                f'{100 * self.max_share:g} %: {_listed(counts)}; such as {", ".join(paths)}. The log names each with '
                'its reason. Fix or remove such files, check that data.root was copied to its end, or raise '
                'default_hooks.count_skipped.max_share'
            )
        return counts


def _listed(counts: dict[str, int]) -> str:
    return ', '.join(f'{count} {reason}' for reason, count in counts.items())
