"""CountSkipped: how many images a run could not use."""

from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import tensor

from detco_mm.registry import HOOKS


@HOOKS.register_module()
class CountSkipped(Hook):
    """Log after each epoch how often an image had to be skipped, on all ranks together.

    The files' names and reasons are in the log of the rank that met them.
    """

    def after_train_epoch(self, runner: Runner) -> None:
        """Sum up and warn, if there is anything to warn of."""
        count = tensor(getattr(runner.train_dataloader.dataset, 'skipped', 0))
        all_reduce(count)
        if count:
            runner.logger.warning(
                f'{int(count)} times up to now an image could not be decoded and another one took its place'
            )
