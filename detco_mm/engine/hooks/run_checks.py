"""RunChecks: what can be known to go wrong before the first step."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from detco_mm.registry import HOOKS


@HOOKS.register_module()
class RunChecks(Hook):
    """Compare queue, batch and data set before training starts; a model without DetCo's queue is left alone.

    Raises:
        ValueError: from ``before_train``, if the keys of one optimizer step do not fit the queue.
    """

    def before_train(self, runner: Runner) -> None:
        """Refuse a queue shorter than a step's keys; warn of one longer than the data set, and of inexact resuming."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(getattr(model, 'queue', None), 'check_batch'):
            return
        loader = runner.train_dataloader
        accumulated = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        model.queue.check_batch(loader.batch_size * runner.world_size * accumulated)
        if model.queue.length > len(loader.dataset):
            runner.logger.warning(
                f'queue of {model.queue.length} keys over a data set of {len(loader.dataset)} images: images meet '
                'older keys of their own as negatives, which teaches the wrong thing; lower model.queue_len below '
                'the number of images'
            )
        if len(loader) % accumulated:
            runner.logger.warning(
                f'an epoch of {len(loader)} micro-batches ends within an optimizer step of {accumulated}: a checkpoint '
                'of its end lacks the gradients so far, and a resumed run differs from one that was left alone; choose '
                'a batch size or optim_wrapper.accumulative_counts that divides'
            )
