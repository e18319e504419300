"""From a config and what a user asks of it to a run: read, settle, check, build, train or test."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.reading import load_checkpoint, safe_loading
from detco_mm.engine import mistakes
from detco_mm.engine.checks import check_batches, check_images, check_sections
from detco_mm.engine.hooks import CheckWeights
from detco_mm.engine.labels import check_config_labels
from detco_mm.engine.lengths import check_lengths, check_metrics
from detco_mm.engine.pixels import settle_pixels
from detco_mm.engine.quiet_runner import QuietRunner
from detco_mm.engine.ranks import heed_first_rank, join_ranks
from detco_mm.engine.settings import apply_command_line
from detco_mm.visualization.report import evaluation_table, text_table
from detco_mm.weights import start_pretraining, use_backbone


def read_config(path: str | Path, beside: Path, work_dir: str | None = None, launcher: str = 'none') -> Config:
    """Read a config with the settings that every run needs.

    Args:
        path: of the config; relative to the current folder or else to `beside`.
        beside: folder that holds the project's ``configs/``, so that they are found from any folder.
        work_dir: where the run writes; by default what the config says, or work_dirs/NAME.
        launcher: MMEngine's: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        FileNotFoundError: if there is no such config.
        ValueError: if it cannot be read.
    """
    cfg = mistakes.read_config(path, beside)
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(path).stem)
    return cfg


def train(
    cfg: Config,
    options: Mapping[str, Any] | None = None,
    *,
    scope: str = 'mmselfsup',
    backbone: str | None = None,
    start: str | None = None,
    projections: bool = False,
    resume: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    trackers: Sequence[str] = (),
) -> None:
    """Train what a config says.

    Args:
        cfg: what :func:`read_config` returned.
        options: overrides, dotted name -> value.
        scope: default scope of a config that names none.
        backbone: weights that a downstream model starts from; see :func:`detco_mm.weights.use_backbone`.
        start: weights that both encoders of a pre-training start from.
        projections: take its projections as well.
        resume: None, 'auto' or the path of a checkpoint.
        amp: train in mixed precision.
        auto_scale_lr: scale the learning rate with the batch.
        trackers: 'tensorboard', 'wandb' or 'mlflow', beside what the config says.

    Raises:
        FileNotFoundError, ValueError: for what a user can fix, before the first step.
        RunStopped: from a run that must not go on.
    """
    apply_command_line(
        cfg,
        options,
        resume=resume,
        amp=amp,
        auto_scale_lr=auto_scale_lr,
        trackers=trackers,
        restarted=int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)) > 0,
    )
    check_sections(cfg, ('train_dataloader', 'train_cfg', 'optim_wrapper'))
    init_default_scope(cfg.get('default_scope', scope))
    check_config_labels(cfg, ('train', 'val'))  # the test data are looked at when they are used
    settle_pixels(cfg, backbone)
    if cfg.get('resume'):
        cfg.model.pop('start_from', None)  # the checkpoint has all of it
    elif start:
        start_pretraining(cfg, start, projections)
    if backbone:
        use_backbone(cfg, backbone)
    with mistakes.building(cfg):
        runner = build_runner(cfg)
        if not any(isinstance(hook, CheckWeights) for hook in runner.hooks):
            runner.register_hook(CheckWeights())
        loader = runner.train_loop.dataloader
        check_batches(loader)
        check_images(loader.dataset, 'train_dataloader.dataset')
        check_lengths(cfg, len(loader))
        check_metrics(cfg)
        # what Runner.train would build itself, and what it would do to the rates in between, once
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
        runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
        runner.auto_scale_lr = None
        if runner.param_schedulers is not None:
            runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
        if (val_loop := runner.val_loop) is not None:
            check_images(val_loop.dataloader.dataset, 'val_dataloader.dataset')
    runner.train()
    end_process_group()


def test(
    cfg: Config,
    checkpoints: Sequence[str],
    options: Mapping[str, Any] | None = None,
    *,
    scope: str = 'mmdet',
    out: str | None = None,
) -> None:
    """Evaluate checkpoints on the test data of a config, print their table, keep the metrics of each in a file.

    Args:
        cfg: what :func:`read_config` returned.
        checkpoints: of several, those are not evaluated again whose file is newer than they are and comes from the same
            settings.
        options: overrides, dotted name -> value.
        scope: default scope of a config that names none.
        out: JSON file for the metrics of a single checkpoint.

    Raises:
        FileNotFoundError: if a checkpoint does not exist.
        ValueError: if two checkpoints would share a file of metrics, or the config has no test data.
    """
    apply_command_line(cfg, options)
    if absent := [path for path in checkpoints if not Path(path).is_file()]:
        raise FileNotFoundError(f'no checkpoint at "{absent[0]}": check the path')
    for path in checkpoints:
        load_checkpoint(path)  # which says what is wrong with it
    if out and len(checkpoints) > 1:
        raise ValueError(f'--out with {len(checkpoints)} checkpoints: without it each has a file of its own')
    if not cfg.get('test_dataloader') or not cfg.get('test_evaluator'):
        raise ValueError(
            f'"{cfg.filename}" has no test_dataloader and test_evaluator: give the config of a detector, a segmenter '
            'or a classifier; tools/eval_frozen.py and tools/eval_knn.py judge a pre-training'
        )
    check_sections(cfg, ('test_cfg',))
    init_default_scope(cfg.get('default_scope', scope))
    check_config_labels(cfg, ('test',))
    settle_pixels(cfg)
    with mistakes.building(cfg):
        runner = build_runner(cfg)
        runner.register_hook(CheckWeights(strict=True))
        check_images(runner.test_loop.dataloader.dataset, 'test_dataloader.dataset')
    evaluate(runner, checkpoints, out)
    end_process_group()


def evaluate(runner: Runner, checkpoints: Sequence[str], out: str | None = None) -> None:
    """Evaluate checkpoints one after the other; arguments and errors as for :func:`test`, with its Runner."""
    settings = json.dumps([runner.cfg[key] for key in ('model', 'test_dataloader', 'test_evaluator')], default=str)
    folder = Path(runner.work_dir, 'metrics', hashlib.sha256(settings.encode()).hexdigest()[:8])
    files = {path: Path(out or folder / f'{Path(path).stem}.json') for path in checkpoints}
    if len(set(files.values())) < len(files):
        raise ValueError('two checkpoints have the same name: evaluate them with a --work-dir each')
    done = heed_first_rank(
        lambda: {
            path
            for path, file in files.items()
            if len(files) > 1 and file.is_file() and file.stat().st_mtime > Path(path).stat().st_mtime
        }
    )
    found = {}
    for path, file in files.items():
        if path not in done:
            with safe_loading():
                runner.load_checkpoint(path)
            metrics = runner.test()
            if is_main_process():
                # float: some metrics are NumPy's float32
                write_atomically(file, json.dumps(metrics, indent=1, default=float) + '\n')
        if is_main_process():
            found[file.stem] = json.loads(file.read_text(encoding='utf-8'))
    if is_main_process():
        table = text_table(evaluation_table(found, 'checkpoint'))
        write_atomically(Path(runner.work_dir, 'metrics.md'), table + '\n')
        print(table)


def build_runner(cfg: Config) -> Runner:
    """Build the run: QuietRunner, or what the config's ``runner_type`` says."""
    join_ranks(cfg)  # not left to the Runner, whose data workers would each import the stack anew: MMEngine sets spawn
    return RUNNERS.build(cfg) if 'runner_type' in cfg else QuietRunner.from_cfg(cfg)


def end_process_group() -> None:
    """Leave the other ranks in order, where there are any.

    Left to the interpreter's exit, gloo's threads end some processes with SIGABRT after all work is done.
    """
    if torch_dist.is_initialized():
        torch_dist.barrier()
        torch_dist.destroy_process_group()
