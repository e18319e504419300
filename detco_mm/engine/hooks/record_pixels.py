"""RecordPixels: what a pre-training made of its files' values, kept with its weights."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from detco_mm.registry import HOOKS


@HOOKS.register_module()
class RecordPixels(Hook):
    """Write bands, value range, mean and std into every checkpoint's ``meta.pixels``, from where exports take them.

    A fine-tuning that starts from the weights then sees the same pixels. The value range that a data set measured is
    also written into the config that the run leaves behind.
    """

    def before_train(self, runner: Runner) -> None:
        """Complete the config by what was measured."""
        settings = _settings(runner)
        steps = runner.cfg.get('train_dataloader', {}).get('dataset', {}).get('pipeline', [])
        views = [step for step in steps if step.get('type') in ('detco_mm.DetCoViews', 'DetCoViews')]
        if settings and any(step.get('pixels') != settings for step in views):
            for step in views:
                step.pixels = settings
            runner.dump_config()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add what is known of the pixels to a checkpoint."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        preprocessor = model.data_preprocessor
        if (settings := _settings(runner)) is not None and hasattr(preprocessor, 'mean'):
            moments = {name: getattr(preprocessor, name).flatten().tolist() for name in ('mean', 'std')}
            checkpoint['meta']['pixels'] = {**settings, **moments}


def _settings(runner: Runner) -> dict[str, Any] | None:
    pipeline = getattr(getattr(runner.train_dataloader, 'dataset', None), 'pipeline', None)
    steps = [step for step in getattr(pipeline, 'transforms', ()) if hasattr(step, 'pixels')]
    return steps[0].pixels.settings() if steps else None
