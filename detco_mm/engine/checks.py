"""What a user sets, looked at before anything is built or written."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import OPTIMIZERS
from torch.utils.data import DataLoader

#: Setting -> the least whole number that it may be; None may be said where the config may.
_WHOLE = {
    'train_dataloader.batch_size': 1,
    'val_dataloader.batch_size': 1,
    'test_dataloader.batch_size': 1,
    'train_dataloader.num_workers': 0,
    'val_dataloader.num_workers': 0,
    'test_dataloader.num_workers': 0,
    'train_cfg.max_epochs': 1,
    'train_cfg.max_iters': 1,
    'train_cfg.val_interval': 1,
    'optim_wrapper.accumulative_counts': 1,
    'default_hooks.logger.interval': 1,
    'randomness.seed': 0,
    'auto_scale_lr.base_batch_size': 1,
}
#: Settings that are numbers above 0.
_POSITIVE = ('optim_wrapper.optimizer.lr',)


def check_settings(cfg: Config) -> None:
    """Look at numbers, the work dir and the GPUs of a run.

    Raises:
        ValueError: with the setting, its value and the rule.
    """
    for name, least in _WHOLE.items():
        value = _at(cfg, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f'{name}={value!r}: it is a whole number, {least} or more')
    for name in _POSITIVE:
        value = _at(cfg, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
            raise ValueError(f'{name}={value!r}: it is a number above 0')
    epochs, steps = _at(cfg, 'train_cfg.max_epochs'), _at(cfg, 'train_cfg.max_iters')
    if epochs is not None and steps is not None:
        raise ValueError(
            f'train_cfg has max_epochs={epochs} and max_iters={steps}: a run counts one or the other; set the one that '
            'the config has'
        )
    _check_work_dir(cfg.get('work_dir'))
    _check_gpus()


def check_sections(cfg: Config, sections: Iterable[str]) -> None:
    """Look at whether a config has what a run is built from, and an optimizer that exists.

    Raises:
        ValueError: with what it lacks.
    """
    if lacking := [name for name in ('model', *sections) if cfg.get(name) is None]:
        raise ValueError(
            f'the config has no {", ".join(lacking)}: give one of a run, such as those in configs/, or build on one by '
            '_base_'
        )
    kind = _at(cfg, 'optim_wrapper.optimizer.type')
    if isinstance(kind, str) and OPTIMIZERS.get(kind) is None:  # MMEngine's constructor would fall over its None
        near = difflib.get_close_matches(kind, OPTIMIZERS.module_dict, 1, 0.5)
        raise ValueError(
            f"optim_wrapper.optimizer.type='{kind}' is no optimizer" + (f"; the nearest is '{near[0]}'" if near else '')
        )


def check_batches(loader: DataLoader) -> None:
    """Look at whether a training loader gives a batch at all.

    Raises:
        ValueError: with the numbers of images, of a batch and of ranks.
    """
    if len(loader) > 0:
        return
    images, ranks = len(loader.dataset), get_world_size()  # type: ignore[arg-type]  # a map-style data set
    batch = getattr(loader.batch_sampler, 'batch_size', loader.batch_size)
    over = f' on each of {ranks} ranks' if ranks > 1 else ''
    raise ValueError(
        f'{images} images make no batch of {batch}{over}: lower train_dataloader.batch_size, add images, or set '
        'train_dataloader.drop_last=False'
    )


def _at(cfg: Config, name: str) -> Any:
    node: Any = cfg
    for part in name.split('.'):
        node = node.get(part) if isinstance(node, dict | Config) else None
    return node


def _check_work_dir(work_dir: Any) -> None:
    if work_dir is None:
        return
    if not isinstance(work_dir, str | os.PathLike) or not str(work_dir):
        raise ValueError(f'work_dir={work_dir!r}: it is a folder, which is made if it does not exist')
    place = Path(work_dir).absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        raise ValueError(f'work_dir={work_dir}: {place} is no folder; give another --work-dir')
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f'work_dir={work_dir}: {place} cannot be written to; give another --work-dir, or its rights')


def _check_gpus() -> None:
    rank, count = int(os.environ.get('LOCAL_RANK', 0)), torch.cuda.device_count()
    if torch.cuda.is_available() and rank >= count:
        raise ValueError(
            f'{rank + 1} or more processes were started on this machine, but it shows {count} GPUs: start as many '
            'processes as GPUs, or name more of them in CUDA_VISIBLE_DEVICES'
        )
