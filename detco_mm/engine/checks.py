"""What a user sets, looked at before anything is built or written."""

import difflib
import logging
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import print_log
from mmengine.registry import OPTIMIZERS
from torch.utils.data import DataLoader

from detco_mm.transforms import sources

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
#: Data workers for each core that are worth a warning, and that nobody means: a core hardly feeds one.
_CROWDED, _ABSURD = 4, 32
#: How many files of a data set are looked for.
_FILES = 16
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
        if value is not None and (type(value) not in (int, float) or not 0 < value < math.inf):
            raise ValueError(f'{name}={value!r}: it is a number above 0')
    for split in ('train', 'val', 'test'):
        _check_workers(f'{split}_dataloader.num_workers', _at(cfg, f'{split}_dataloader.num_workers'))
    epochs, steps = _at(cfg, 'train_cfg.max_epochs'), _at(cfg, 'train_cfg.max_iters')
    if epochs is not None and steps is not None:
        raise ValueError(
            f'train_cfg has max_epochs={epochs} and max_iters={steps}: a run counts one or the other; set the one that '
            'the config has'
        )
    if cfg.get('work_dir') is not None:
        check_work_dir(cfg.work_dir)
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


def check_images(dataset: Any, name: str) -> None:
    """Look at whether the files are there that a data set names, whatever class it is.

    Args:
        dataset: fully initialised.
        name: of its settings, such as train_dataloader.dataset.

    Raises:
        FileNotFoundError: if none of a sample is; with the first.
    """
    while not hasattr(dataset, 'get_data_info') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    if not hasattr(dataset, 'get_data_info') or not len(dataset):
        return
    if not getattr(getattr(dataset, 'pipeline', None), 'transforms', True):
        raise ValueError(f'{name}.pipeline is empty, and nothing reads the images: take that of a config in configs/')
    chosen = {at * (len(dataset) - 1) // max(1, _FILES - 1) for at in range(_FILES)}
    items = [dataset.get_data_info(at) for at in sorted(chosen)]
    for key in ('img_path', 'seg_map_path'):
        paths = [item[key] for item in items if isinstance(item, dict) and isinstance(item.get(key), str)]
        if paths and not any('://' in path or sources.exists(path) for path in paths):
            raise FileNotFoundError(
                f'{name} names {len(dataset)} images, but none of the {len(paths)} that were looked for is there, such '
                f'as "{paths[0]}": correct its data_root and data_prefix'
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


def check_contrast_batches(loader: DataLoader) -> int:
    """Look at whether all ranks have equal batches throughout an epoch, for DetCo's ranks exchange images and keys.

    Where one has a batch less, or its last one is smaller, gloo ends with SIGABRT and NCCL waits for ever.

    Returns:
        How many images the last batch of an epoch has on each rank.

    Raises:
        ValueError: on every rank, with what two of them have, or with a batch sampler, whose batches nobody can know.
    """
    size = loader.batch_size
    if size is None:
        raise ValueError(
            f'train_dataloader.batch_sampler={type(loader.batch_sampler).__name__}: whether its batches are equal on '
            'all ranks cannot be told; leave it out and set train_dataloader.batch_size and drop_last'
        )
    sampler: Any = loader.sampler
    steps, last = len(loader), size
    if not loader.drop_last and not isinstance(sampler, InfiniteSampler):
        last = len(sampler) - (steps - 1) * size
    first, *others = all_gather_object((len(loader.dataset), steps, size, last))  # type: ignore[arg-type]  # as above
    for rank, other in enumerate(others, start=1):
        if other != first:
            said = '{} images and {} batches of {}, the last one of {}'
            raise ValueError(
                f'the first rank has {said.format(*first)}; rank {rank} has {said.format(*other)}: set '
                'train_dataloader.drop_last=True or train_dataloader.sampler.round_up=True, and give every machine '
                'the same images'
            )
    return last


def _at(cfg: Config, name: str) -> Any:
    node: Any = cfg
    for part in name.split('.'):
        node = node.get(part) if isinstance(node, dict | Config) else None
    return node


def check_work_dir(work_dir: Any) -> None:
    """Look at whether something can be written to a folder, which may have to be made.

    Raises:
        ValueError: if it is no folder, or cannot be written to.
    """
    if not isinstance(work_dir, str | os.PathLike) or not str(work_dir):
        raise ValueError(f'work_dir={work_dir!r}: it is a folder, which is made if it does not exist')
    place = Path(work_dir).absolute()
    try:
        while not os.path.lexists(place):
            place = place.parent
    except (OSError, ValueError) as error:  # such as a name that is too long, or holds a zero byte
        raise ValueError(f'work_dir={work_dir}: {getattr(error, "strerror", None) or error}') from None
    if not place.is_dir():
        raise ValueError(f'work_dir={work_dir}: {place} is no folder; give another --work-dir')
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f'work_dir={work_dir}: {place} cannot be written to; give another --work-dir, or its rights')


def check_seeds(seeds: Iterable[int]) -> None:
    """Look at whether seeds are numbers that every library takes.

    Raises:
        ValueError: if one is not.
    """
    for seed in seeds:
        if not 0 <= seed < 2**32:  # NumPy's range
            raise ValueError(f'seed {seed}: it is a whole number from 0 to {2**32 - 1}')


def usable_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _check_workers(name: str, count: Any) -> None:
    """Look at whether the machine has the cores for as many processes."""
    cores = usable_cores()
    ranks = int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    if not isinstance(count, int) or count * ranks <= _CROWDED * cores:
        return
    processes = f'{count} data workers' + (f' on each of {ranks} ranks' if ranks > 1 else '')
    said = f'{name}={count}: {processes} share {cores} cores, which costs memory and gains nothing'
    fewer = max(1, cores // ranks)
    if count * ranks > _ABSURD * cores:
        raise ValueError(f'{said}; set it to {fewer} or so')
    print_log(f'{said}; {fewer} or so are enough', logger='current', level=logging.WARNING)


def _check_gpus() -> None:
    rank, count = int(os.environ.get('LOCAL_RANK', 0)), torch.cuda.device_count()
    if torch.cuda.is_available() and rank >= count:
        raise ValueError(
            f'{rank + 1} or more processes were started on this machine, but it shows {count} GPUs: start as many '
            'processes as GPUs, or name more of them in CUDA_VISIBLE_DEVICES'
        )
