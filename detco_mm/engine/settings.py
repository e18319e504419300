"""What the command line asks for, written into a run's config."""

import multiprocessing
import os
import zipfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import all_gather_object, is_main_process
from mmengine.logging import print_log

from detco_mm.checkpoints.finding import newest_intact_checkpoint
from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.checkpoints.sealing import find_corruption
from detco_mm.engine.checks import check_settings
from detco_mm.engine.lengths import LENGTHS, follow_length
from detco_mm.engine.ranks import heed_first_rank, join_ranks

#: Package and MMEngine's backend by the name that ``--tracker`` takes.
TRACKERS = {
    'tensorboard': ('tensorboard', 'TensorboardVisBackend'),
    'wandb': ('wandb', 'WandbVisBackend'),
    'mlflow': ('mlflow', 'MLflowVisBackend'),
}


def apply_command_line(
    cfg: Config,
    options: Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    trackers: Sequence[str] = (),
    restarted: bool = False,
) -> None:
    """Turn the command line into settings, in place.

    Args:
        cfg: the run's config, as read from its file.
        options: overrides, dotted name -> value, in which ``data.root`` and ``data.ann_file`` are short for those of
            ``train_dataloader.dataset``.
        resume: None, 'auto' for the newest intact checkpoint of the work dir, or the path of one. Where the work
            dir has none yet, 'auto' starts as the config says, from its ``load_from`` if it has one.
        amp: train in mixed precision; a config that does so already keeps its own.
        auto_scale_lr: scale the learning rate with the batch.
        trackers: of TRACKERS, to which scalars are written beside what the config says.
        restarted: whether torchrun starts all ranks again after one has failed: they go on from where they were, as
            with 'auto', and not from where they began.

    Raises:
        FileNotFoundError: if the checkpoint to resume, or to load from, is not there.
        ValueError: if a setting is no number that it can be, if the work dir cannot be one, if the config has no batch
            size that its learning rate belongs to, or the checkpoint is damaged.
    """
    _merge(cfg, spelled_out(options or {}, cfg))
    _expand_home(cfg)
    _write_checkpoints_safely(cfg)
    processes = cfg.get('env_cfg', {}).get('mp_cfg', {})
    if processes.get('mp_start_method') == 'fork' and 'fork' not in multiprocessing.get_all_start_methods():
        processes.mp_start_method = None  # MMDetection's configs name fork; None is what the system has
    _add_trackers(cfg, trackers)
    if not torch.cuda.is_available():
        _replace_sync_bn(cfg)
    if amp and cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper':
        # MMEngine's AmpOptimWrapper exists on accelerators only.
        kind = 'AmpOptimWrapper' if torch.cuda.is_available() else 'detco_mm.BFloat16OptimWrapper'
        cfg.optim_wrapper.type = kind
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                '--auto-scale-lr without auto_scale_lr.base_batch_size in the config: '
                'set it to the batch over all GPUs that the learning rate belongs to'
            )
        cfg.auto_scale_lr.enable = True
    check_settings(cfg)
    newest = _newest_checkpoint(cfg) if restarted or resume == 'auto' else None
    if newest is not None:
        cfg.update(resume=True, load_from=str(newest))
        return
    if resume not in (None, 'auto'):
        cfg.update(resume=True, load_from=str(resume))
    if cfg.get('load_from') and '://' not in cfg.load_from:
        _check_checkpoint(cfg.load_from, bool(cfg.get('resume')))


def _merge(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options; the schedule follows another length of the training, and loaders without workers keep none."""
    lengths = {name: (cfg.get('train_cfg') or {}).get(name) for name in LENGTHS}
    for name in options:
        _open_sections(cfg, name.split('.')[:-1])
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError) as error:  # such as a section where the config has a number
        raise ValueError(f'--cfg-options: {" ".join(str(error).split())}') from error
    follow_length(cfg, lengths, options)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        if loader.get('num_workers') == 0:
            loader.pop('prefetch_factor', None)
            loader.pop('persistent_workers', None)


def _expand_home(cfg: Config) -> None:
    """Write out the ~ of paths, which shells leave as it is behind KEY=, in place."""

    def walk(node: Any) -> None:
        for key, value in list(node.items() if isinstance(node, dict | Config) else enumerate(node)):
            if isinstance(value, str) and value.startswith('~/'):
                node[key] = os.path.expanduser(value)
            elif isinstance(value, dict | list):
                walk(value)

    walk(cfg)


def _newest_checkpoint(cfg: Config) -> Path | None:
    """Find the checkpoint to go on from: on a shared file system ranks may see different ones, so the first one says.

    Raises:
        ValueError: if there are checkpoints but none is intact, or if a rank does not see the one that was chosen.
    """
    join_ranks(cfg)

    def choose() -> tuple[Path, int] | None:
        newest = newest_intact_checkpoint(cfg.work_dir) if is_main_process() else None
        return (newest, _size(newest)) if newest else None

    chosen = heed_first_rank(choose)
    if chosen is None:
        return None
    newest, size = chosen
    if blind := [rank for rank, seen in enumerate(all_gather_object(_size(newest))) if seen != size]:
        raise ValueError(
            f'--resume: the first rank goes on from "{newest}", of {size} bytes, and rank {", ".join(map(str, blind))} '
            'sees no such file there: give a --work-dir on a file system that all machines share'
        )
    return newest


def _size(path: Path) -> int:
    """Bytes of a file; -1 where it does not exist."""
    return path.stat().st_size if path.is_file() else -1


def _open_sections(node: Any, names: Sequence[str]) -> None:
    """Make a section of each None on the way to a setting, into which MMEngine merges nothing."""
    for name in names:
        if isinstance(node, list | tuple) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, dict | Config) and name in node:
            if node[name] is None:
                node[name] = ConfigDict()
            node = node[name]
        else:
            return


def _check_checkpoint(path: str, resume: bool) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint at "{path}": check the path given as --resume or load_from')
    if zipfile.is_zipfile(path) and (reason := find_corruption(path)):
        raise ValueError(
            f'"{path}" is damaged ({reason}): name another one, or give --resume without a path, which takes the '
            'newest that is whole'
        )
    meta = load_checkpoint(path).get('meta')
    if resume:
        if not isinstance(meta, dict) or not {'epoch', 'iter'} <= set(meta):
            raise ValueError(
                f'--resume "{path}": it holds weights alone, and no run to go on with; pre-train from them with --from '
                'FILE, or give them as BACKBONE behind the config of a detector'
            )


def spelled_out(options: Mapping[str, Any], cfg: Config) -> dict[str, Any]:
    """Write the short names of where the training images are as the settings that they stand for.

    Args:
        options: as given on the command line; a long name that is given as well wins.
        cfg: the run's config. A ``data`` of its own, as configs for version 0.1 have it, counts as given, too.

    Returns:
        The options without ``data.root`` and ``data.ann_file``.
    """
    data = cfg.pop('data', {}) if 'train_dataloader' in cfg else {}
    given = {**{f'data.{name}': value for name, value in data.items()}, **options}
    name, node = 'train_dataloader.dataset', cfg.get('train_dataloader', {}).get('dataset', {})
    while 'data_root' not in node and isinstance(node.get('dataset'), dict):  # RepeatDataset and its like
        name, node = f'{name}.dataset', node['dataset']
    short = {'data.root': f'{name}.data_root', 'data.ann_file': f'{name}.ann_file'}
    return {short.get(key, key): value for key, value in given.items() if short.get(key) not in options}


def _add_trackers(cfg: Config, names: Sequence[str]) -> None:
    """Write scalars where a user looks at them, too.

    Raises:
        ValueError: for an unknown name.
        ModuleNotFoundError: if the package that it needs is not installed.
    """
    if not names:
        return
    visualizer = cfg.setdefault('visualizer', ConfigDict(type='Visualizer'))
    backends = list(visualizer.get('vis_backends') or [dict(type='LocalVisBackend')])
    for name in names:
        if name not in TRACKERS:
            raise ValueError(f'--tracker {name}: choose from {", ".join(TRACKERS)}')
        package, kind = TRACKERS[name]
        if find_spec(package) is None:
            raise ModuleNotFoundError(f'--tracker {name} needs {package}: pip install {package}')
        if kind not in [backend['type'] for backend in backends]:
            backends.append(dict(type=kind))
    visualizer.vis_backends = backends


def _write_checkpoints_safely(cfg: Config) -> None:
    """Let SafeCheckpoint take the place of MMEngine's CheckpointHook, whose checkpoints PyTorch does not load again."""
    checkpoint = cfg.get('default_hooks', {}).get('checkpoint')
    if checkpoint is not None and checkpoint.get('type', 'CheckpointHook') == 'CheckpointHook':
        checkpoint.type = 'detco_mm.SafeCheckpoint'


def _replace_sync_bn(cfg: Config) -> None:
    """SyncBN needs a GPU; on the CPU plain BN takes its place."""

    def walk(node: Any) -> int:
        if isinstance(node, ConfigDict):
            if node.get('type') in ('SyncBN', 'MMSyncBN'):
                node['type'] = 'BN'
                return 1
            return sum(walk(value) for value in node.values())
        return sum(walk(value) for value in node) if isinstance(node, list | tuple) else 0

    if walk(cfg.model) + bool(cfg.pop('sync_bn', None)):
        print_log('no GPU: BN takes the place of SyncBN', logger='current')
