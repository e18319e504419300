"""Overview: what is trained, on how many images, for how long, and where it is written."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from detco_mm.registry import HOOKS


@HOOKS.register_module()
class Overview(Hook):
    """Log four lines before the first step; the tools add it to every run."""

    priority = 'VERY_LOW'  # what other hooks check comes first

    def before_train(self, runner: Runner) -> None:
        """Log them."""
        runner.logger.info('\n'.join(['', *overview(runner), '']))


def overview(runner: Runner) -> list[str]:
    """Describe a run that is about to start.

    Args:
        runner: with its training loop built and its weights loaded.

    Returns:
        What is trained and from what; on how many images; for how long; where to.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    backbone = runner.cfg.get('model', {}).get('backbone', {})
    parts = [backbone.get(key) for key in ('type', 'model_name', 'arch', 'depth')]
    kind = ' '.join(str(part) for part in parts if part and isinstance(part, str | int))
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    what = f'{type(model).__name__} with {kind}' if kind else type(model).__name__
    loader, loop = runner.train_dataloader, runner.train_loop
    size = getattr(loader.batch_sampler, 'batch_size', None)
    batch = f'batches of {size}' if size else 'batches'
    if runner.world_size > 1:
        batch += f' on each of {runner.world_size} processes'
    return [
        f'training   {what}, {trained / 1e6:,.1f} M parameters, from {_start(runner)}',
        f'images     {len(loader.dataset):,}{_source(loader.dataset)}',
        f'for        {_length(loop, len(loader))}, {batch}',
        f'into       {runner.work_dir}; log, config and environment in {runner.log_dir}',
    ]


def _length(loop: BaseLoop, steps: int) -> str:
    if isinstance(epochs := getattr(loop, '_max_epochs', None), int) and epochs > 1:
        begun = f', from epoch {loop.epoch + 1} on' if loop.iter else ''
        return f'{epochs} epochs of {steps:,} steps{begun}'
    begun = f', from step {loop.iter + 1:,} on' if loop.iter else ''
    return f'{loop.max_iters:,} steps{begun}'


def _start(runner: Runner) -> str:
    if runner._resume:
        return f'checkpoint {runner._load_from}' if runner._load_from else 'the last checkpoint'
    files = [runner._load_from] if runner._load_from else list(dict.fromkeys(_files(runner.cfg.get('model', {}))))
    return ', '.join(files) or 'random weights'


def _files(node: Any) -> Iterator[str]:
    """Yield the files that a model's ``init_cfg`` or DetCo's ``start_from`` names, at any depth."""
    if isinstance(node, dict):
        initialise = node.get('init_cfg')
        entries = [*initialise] if isinstance(initialise, list | tuple) else [initialise]
        for entry in [*entries, node.get('start_from')]:
            file = entry.get('checkpoint') if isinstance(entry, dict) else entry
            if isinstance(file, str):
                yield file
        for value in node.values():
            yield from _files(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _files(value)


def _source(dataset: Any) -> str:
    while hasattr(dataset, 'dataset'):  # RepeatDataset and its like
        dataset = dataset.dataset
    place = getattr(dataset, 'ann_file', '') or getattr(dataset, 'data_root', '') or ''
    return f' of {place}' if isinstance(place, str) and place else ''
