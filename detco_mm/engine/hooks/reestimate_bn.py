"""ReestimateBN: a pre-training ends with BN statistics of whole images, and not half of patches."""

import time
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner

from detco_mm.engine.bn_statistics import NUM_BATCHES, reestimate
from detco_mm.registry import HOOKS


@HOOKS.register_module()
class ReestimateBN(Hook):
    """Re-estimate the running statistics of both backbones before the last checkpoint is written.

    Each step sends the global views and then the patches through the backbones, so running statistics are those of
    patches by 1 / (2 - BN's momentum), 0.526. Whoever uses the backbone with BN in evaluation mode (nearest neighbours,
    linear classifiers, detectors with ``norm_eval=True``) shows it whole images. In training BN does not read them: a
    run that goes on from the checkpoint trains as if nothing had been done. All ranks end with the same.

    The log and the checkpoint's ``meta.bn_statistics`` say on what they were estimated, and from there exports take it.

    Args:
        num_batches: of each rank, at most. Their cost is one forward pass of both backbones over one global view.
        plain: take the images as they are, which is how they are shown downstream; False takes the first global view of
            the run's own augmentation, as does a pipeline without DetCoViews.

    Raises:
        ValueError: if ``num_batches`` is below 1.
    """

    priority = 'ABOVE_NORMAL'  # before the checkpoint is written

    def __init__(self, num_batches: int = NUM_BATCHES, plain: bool = True) -> None:
        if num_batches < 1:
            raise ValueError(f'num_batches={num_batches}: it is a number of batches, at least 1')
        self.num_batches = num_batches
        self.plain = plain
        self._done: str | None = None

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Do it after the last step."""
        if not self._is_last(runner, batch_idx):
            return
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        backbones = [getattr(part, 'backbone', None) for part in (model, getattr(model, 'key_encoder', None))]
        found = [backbone for backbone in backbones if backbone is not None]
        began = time.monotonic()
        self._done = reestimate(found, model.data_preprocessor, runner.train_dataloader, self.num_batches, self.plain)
        if self._done:
            runner.logger.info(f'BN statistics of both encoders: {self._done}, in {time.monotonic() - began:.0f} s')
        else:
            runner.logger.info('BN statistics: the backbone has no BN in training mode, so nothing is re-estimated')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Say so in a checkpoint that holds them."""
        if self._done:
            checkpoint['meta']['bn_statistics'] = self._done

    def _is_last(self, runner: Runner, batch_idx: int) -> bool:
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            return self.is_last_train_epoch(runner) and self.end_of_epoch(runner.train_dataloader, batch_idx)
        return self.is_last_train_iter(runner)
