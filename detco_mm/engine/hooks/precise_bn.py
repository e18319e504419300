"""PreciseBN: the statistics of every BN taken anew, at fixed weights, before they are evaluated or saved."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch.nn.modules.batchnorm import _BatchNorm

from detco_mm.engine.bn_statistics import NUM_BATCHES, average_statistics, own_batches
from detco_mm.registry import HOOKS


@HOOKS.register_module()
class PreciseBN(Hook):
    """Average the statistics of single batches, as detectron2 does.

    The batches go through the detector as in training, so that the norms of a head see sampled regions, on which its
    weights were trained. MMClassification's hook cannot serve: it lets all proposals through, and it asks for a batch
    size that MMDetection's loaders, which batch by aspect ratio, have not.

    Args:
        interval: iterations of training from one time to the next; a multiple of it is to be the interval of evaluation
            and of checkpoints, before which this hook runs.
        num_iters: batches of each rank to average over.

    Raises:
        ValueError: if a number is below 1, or, in training, if a BN is kept in evaluation mode.

    Source: Wu and Johnson, Rethinking "Batch" in BatchNorm (arXiv 2105.07576), section 3.
    """

    priority = 'ABOVE_NORMAL'  # before the checkpoint is written

    def __init__(self, interval: int, num_iters: int = NUM_BATCHES) -> None:
        for name, value in (('interval', interval), ('num_iters', num_iters)):
            if value < 1:
                raise ValueError(f'{name}={value}: it is a number of iterations, at least 1')
        self.interval = interval
        self.num_iters = num_iters

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Take the statistics at every `interval`."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        frozen = [name for name, m in model.named_modules() if isinstance(m, _BatchNorm) and not m.training]
        if frozen:
            raise ValueError(
                f'{len(frozen)} BN layers stay in evaluation mode ({frozen[0]}, ...), which precise BN would reset: '
                'set norm_eval=False, or take detco_mm.PreciseBN out of custom_hooks'
            )
        runner.logger.info(f'precise BN: statistics of {self.num_iters} batches')

        def run(batch: dict) -> None:
            model(**model.data_preprocessor(batch, True), mode='loss')

        norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        average_statistics(norms, own_batches(runner.train_dataloader, self.num_iters, seed=runner.iter), run)
