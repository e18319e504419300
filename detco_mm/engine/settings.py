"""What the command line asks for, written into a run's config."""

import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import MODELS

from detco_mm.checkpoints.finding import newest_intact_checkpoint
from detco_mm.checkpoints.sealing import find_corruption
from detco_mm.engine.checks import check_settings
from detco_mm.weights import export_backbone, is_exported, read_backbone, verify_backbone


def apply_command_line(
    cfg: Config,
    options: Mapping[str, Any] | None = None,
    resume: str | Path | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
) -> None:
    """Turn the command line into settings, in place.

    Args:
        cfg: the run's config, as read from its file.
        options: overrides, dotted name -> value. ``data.root`` leads the training data; where config or options name
            ``train_dataloader.dataset.data_root``, that wins over it.
        resume: None, 'auto' for the newest checkpoint of the work dir that is whole, or the path of one. Where the work
            dir has none yet, 'auto' starts as the config says, from its ``load_from`` if it has one.
        amp: train in mixed precision; a config that does so already keeps its own.
        auto_scale_lr: scale the learning rate with the batch.

    Raises:
        FileNotFoundError: if the checkpoint to resume, or to load from, is not there.
        ValueError: if a setting is no number that it can be, if the work dir cannot be one, if the config has no batch
            size that its learning rate belongs to, or the checkpoint is damaged.
    """
    _merge(cfg, dict(options or {}))
    _point_data(cfg)
    _add_tensorboard(cfg)
    _leave_out_hooks(cfg)
    _write_checkpoints_safely(cfg)
    if not cfg.get('log_processor', {}).get('by_epoch', True) and 'logger' in cfg.get('default_hooks', {}):
        # MMEngine's default logs every evaluation of a run that counts iterations at step 0.
        cfg.default_hooks.logger.setdefault('log_metric_by_epoch', False)
    if not torch.cuda.is_available():
        _replace_sync_bn(cfg)
    if amp and cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper':
        # MMEngine's AmpOptimWrapper exists on accelerators only.
        kind = 'AmpOptimWrapper' if torch.cuda.is_available() else 'detco_mm.BFloat16OptimWrapper'
        cfg.optim_wrapper.type = kind
    _unfuse_scaled_sgd(cfg)
    if auto_scale_lr:
        if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
            raise ValueError(
                '--auto-scale-lr without auto_scale_lr.base_batch_size in the config: '
                'set it to the batch over all GPUs that the learning rate belongs to'
            )
        cfg.auto_scale_lr.enable = True
    check_settings(cfg)
    newest = newest_intact_checkpoint(cfg.work_dir) if resume == 'auto' else None
    if newest is not None:
        cfg.update(resume=True, load_from=str(newest))
        return
    if resume not in (None, 'auto'):
        cfg.update(resume=True, load_from=str(resume))
    if cfg.get('load_from') and '://' not in cfg.load_from:
        _check_checkpoint(cfg.load_from)


def _merge(cfg: Config, options: dict[str, Any]) -> None:
    """Merge options; the schedule follows another length of the training, and loaders without workers keep none."""
    lengths = {name: (cfg.get('train_cfg') or {}).get(name) for name in ('max_epochs', 'max_iters')}
    cfg.merge_from_dict(options)
    schedules = cfg.get('param_scheduler') or []
    for at, schedule in enumerate(schedules if isinstance(schedules, list) else [schedules]):
        length = 'max_epochs' if schedule.get('by_epoch', True) else 'max_iters'
        if lengths[length] is None or cfg.train_cfg.get(length) == lengths[length]:
            continue
        for name in ('T_max', 'end'):  # by default they are the length
            if schedule.get(name) == lengths[length] and f'param_scheduler.{at}.{name}' not in options:
                del schedule[name]
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name) or {}
        if loader.get('num_workers') == 0:
            loader.pop('prefetch_factor', None)
            loader.pop('persistent_workers', None)


def _check_checkpoint(path: str) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f'no checkpoint at "{path}": check the path given as --resume or load_from')
    if zipfile.is_zipfile(path) and (reason := find_corruption(path)):
        raise ValueError(
            f'"{path}" is damaged ({reason}): name another one, or give --resume without a path, which takes the '
            'newest that is whole'
        )


def _point_data(cfg: Config) -> None:
    """Lead the training data to ``data.root`` and ``data.ann_file``, where users name their images."""
    if 'root' in cfg.get('data', {}):
        dataset = cfg.train_dataloader.dataset
        dataset.setdefault('data_root', cfg.data.root)
        dataset.setdefault('ann_file', cfg.data.get('ann_file', ''))


def _add_tensorboard(cfg: Config) -> None:
    """Write scalars for TensorBoard, too, where it is installed."""
    backends = cfg.get('visualizer', {}).get('vis_backends')
    if backends is not None and find_spec('tensorboard') and 'Tensorboard' not in str(backends):
        cfg.visualizer.vis_backends = [*backends, dict(type='TensorboardVisBackend')]


def _leave_out_hooks(cfg: Config) -> None:
    """Let ``default_hooks.NAME=None`` leave any hook out; MMEngine asserts that it is one of its own six."""
    hooks = cfg.get('default_hooks', {})
    own = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
    for name in [name for name, hook in hooks.items() if hook is None and name not in own]:
        del hooks[name]


def _write_checkpoints_safely(cfg: Config) -> None:
    """Let SafeCheckpoint take the place of MMEngine's CheckpointHook, whose checkpoints PyTorch does not load again."""
    checkpoint = cfg.get('default_hooks', {}).get('checkpoint')
    if checkpoint is not None and checkpoint.get('type', 'CheckpointHook') == 'CheckpointHook':
        checkpoint.type = 'detco_mm.SafeCheckpoint'


def _unfuse_scaled_sgd(cfg: Config) -> None:
    """Take fused SGD out of fp16 training.

    Loss scaling begins with a step that overflows and is skipped, but PyTorch 2.14's fused SGD leaves the momentum of a
    skipped first step as memory that nobody wrote, and goes on from there.
    """
    wrapper = cfg.get('optim_wrapper', {})
    if wrapper.get('type') == 'AmpOptimWrapper' and wrapper.optimizer.type == 'SGD':
        wrapper.optimizer.fused = False


def _replace_sync_bn(cfg: Config) -> None:
    """SyncBN needs a GPU; on the CPU plain BN takes its place."""

    def walk(node: Any) -> int:
        if isinstance(node, ConfigDict):
            if node.get('type') in ('SyncBN', 'MMSyncBN'):
                node['type'] = 'BN'
                return 1
            return sum(walk(value) for value in node.values())
        return sum(walk(value) for value in node) if isinstance(node, list | tuple) else 0

    if walk(cfg.model):
        print_log('no GPU: BN takes the place of SyncBN', logger='current')


def use_backbone(cfg: Config, path: str) -> None:
    """Start a downstream model from a backbone, after checking that every key fits.

    Args:
        cfg: the model's config; the default scope must be set, and `work_dir`, where a checkpoint that is no exported
            backbone leaves its own as backbone.pth.
        path: a file written by ``tools/export_backbone.py``, or a checkpoint of MMSelfSup, of the unofficial
            implementation, or one that the authors, MoCo or torchvision released.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a key is missing, unexpected or of another shape; it lists them.
    """
    if not is_exported(path):
        exported = Path(cfg.work_dir, 'backbone.pth')
        export_backbone(path, exported)
        path = str(exported)
    weights, backbone = read_backbone(path), MODELS.build(dict(cfg.model.backbone, init_cfg=None))
    initialise = ConfigDict(type='Pretrained', checkpoint=path)
    shared_head = cfg.model.get('roi_head', {}).get('shared_head')
    if shared_head is not None:
        # A C4 detector has the last stage in its head.
        res5 = MODELS.build(dict(shared_head, init_cfg=None))
        last = {name: tensor for name, tensor in weights.items() if name.startswith('layer4.')}
        verify_backbone(last, getattr(res5, 'res_layer', res5))
        weights = {name: tensor for name, tensor in weights.items() if name not in last}
        shared_head.init_cfg = initialise
    verify_backbone(weights, backbone)
    cfg.model.backbone.init_cfg = initialise
