"""RecordPixels: what a pre-training made of its files' values, kept with its weights."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from detco_mm.registry import HOOKS
from detco_mm.transforms.pixels import Pixels


@HOOKS.register_module()
class RecordPixels(Hook):
    """Write bands, value range, mean and std into every checkpoint's ``meta.pixels``, from where exports take them.

    A fine-tuning that starts from the weights then sees the same pixels. The value range that a data set measured is
    also written into the config that the run leaves behind.
    """

    def before_train(self, runner: Runner) -> None:
        """Name in the log what is made of the files, and complete the config by what was measured."""
        pixels = _pixels(runner)
        settings = None if pixels is None else pixels.settings()
        if pixels is not None and settings:
            runner.logger.info(f'pixels: {pixels.describe()}')
        steps = runner.cfg.get('train_dataloader', {}).get('dataset', {}).get('pipeline') or []
        views = [step for step in steps if step.get('type') in ('detco_mm.DetCoViews', 'DetCoViews')]
        if settings and any(step.get('pixels') != settings for step in views):
            for step in views:
                step.pixels = settings
            runner.dump_config()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add what is known of the pixels to a checkpoint."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        preprocessor = model.data_preprocessor
        pixels = _pixels(runner)
        if pixels is not None and hasattr(preprocessor, 'mean'):
            moments = {name: getattr(preprocessor, name).flatten().tolist() for name in ('mean', 'std')}
            checkpoint['meta']['pixels'] = {**pixels.settings(), **moments}


def _pixels(runner: Runner) -> Pixels | None:
    pipeline = getattr(getattr(runner.train_dataloader, 'dataset', None), 'pipeline', None)
    steps = [step for step in getattr(pipeline, 'transforms', ()) if hasattr(step, 'pixels')]
    return steps[0].pixels if steps else None
