"""Runs of seconds, in this process, that keep a checkpoint of each step and log each step."""

import json
from ast import literal_eval
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from detco_mm.engine.errors import RunStopped
from detco_mm.engine.settings import apply_command_line
from tests.integration.small_run import CONFIG, NARROW

#: Hooks of detco_mm in configs/_base_/default_runtime.py.
OURS = (
    'run_checks',
    'count_skipped',
    'stop_on_signal',
    'watchdog',
    'stop_on_non_finite',
    'reestimate_bn',
    'watch_contrast',
)


def build(images, work_dir, hooks, broken=None, launcher='none', resume=None, **options):
    """Two epochs through the images in the order of their names, at a constant learning rate.

    Of our own hooks it has ``hooks`` alone. ``broken`` names images that hold infinity; a run that is given it, even
    empty, has its views as floats.
    """
    cfg = Config.fromfile(CONFIG)
    narrow = {name: literal_eval(value) for name, value in (text.split('=') for text in NARROW)}
    cfg.work_dir, cfg.launcher = str(work_dir), launcher
    cfg.merge_from_dict({**narrow, 'data.root': str(images), 'train_cfg.max_epochs': 2})
    if broken is not None:
        cfg.train_dataloader.dataset.pipeline.append(dict(type='detco_mm.BreakImages', names=list(broken)))
    cfg.train_dataloader.sampler.shuffle = False
    cfg.default_hooks.update({name: None for name in OURS})
    cfg.default_hooks.checkpoint = dict(type='detco_mm.SafeCheckpoint', by_epoch=False, interval=1)
    cfg.param_scheduler = None
    cfg.custom_hooks = hooks
    cfg.experiment_name = f'{work_dir}-{resume}'  # MMEngine keeps a Runner's logger under its name
    apply_command_line(cfg, options, resume=resume)
    return Runner.from_cfg(cfg)


def log(work_dir):
    """All that was logged in a work dir."""
    return ''.join(path.read_text() for path in sorted(Path(work_dir).glob('*/*.log')))


def scalars(work_dir):
    """One dict a step."""
    (path,) = Path(work_dir).glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def saved(work_dir, step):
    """The checkpoint of a step."""
    return torch.load(Path(work_dir, f'iter_{step}.pth'), weights_only=True)


def steps_saved(work_dir):
    """Which steps have a checkpoint."""
    return sorted(int(path.stem.removeprefix('iter_')) for path in Path(work_dir).glob('iter_*.pth'))


def stop(runner):
    """Train until it is stopped by numbers that are not finite, and return what it says."""
    with pytest.raises(RunStopped) as caught:
        runner.train()
    return str(caught.value)
