"""What the training tools and det_test.py share: from their command line to MMEngine's Runner."""

import argparse
import hashlib
import json
import os
from pathlib import Path

import _stack  # noqa: F401
import torch.distributed as torch_dist
from mmengine.dist import barrier, is_main_process
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.finding import newest_intact_checkpoint
from detco_mm.checkpoints.reading import safe_loading
from detco_mm.engine.checks import check_batches, check_sections
from detco_mm.engine.mistakes import building, one_line_errors, read_config
from detco_mm.engine.options import read_options
from detco_mm.engine.settings import apply_command_line, use_backbone
from detco_mm.visualization.report import evaluation_table, text_table

#: The sections of a config that a run is built from, beside its model.
TRAINING = ('train_dataloader', 'train_cfg', 'optim_wrapper')
TESTING = ('test_dataloader', 'test_cfg', 'test_evaluator')


def test(runner: Runner, checkpoints: list[str], out: str | None) -> None:
    """Evaluate checkpoints, print their table, and keep the metrics of each in a file.

    Of several, those are not evaluated again whose file is newer than they are and comes from the same settings.
    """
    settings = json.dumps([runner.cfg[key] for key in ('model', 'test_dataloader', 'test_evaluator')], default=str)
    folder = Path(runner.work_dir, 'metrics', hashlib.sha256(settings.encode()).hexdigest()[:8])
    files = {path: Path(out or folder / f'{Path(path).stem}.json') for path in checkpoints}
    if len(set(files.values())) < len(files):
        raise ValueError('two checkpoints have the same name: evaluate them with a --work-dir each')
    done = {
        path
        for path, file in files.items()
        if len(files) > 1 and file.is_file() and file.stat().st_mtime > Path(path).stat().st_mtime
    }
    barrier()  # every process has looked before the first one writes
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
            found[file.stem] = json.loads(file.read_text())
    if is_main_process():
        table = text_table(evaluation_table(found, 'checkpoint'))
        write_atomically(Path(runner.work_dir, 'metrics.md'), table + '\n')
        print(table)


def main(args: argparse.Namespace) -> None:
    """Train, or test, what the command line says."""
    with one_line_errors():
        _run(args)


def _run(args: argparse.Namespace) -> None:
    cfg = read_config(args.config)
    options = read_options(args.cfg_options or (), cfg)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    if args.tests:
        apply_command_line(cfg, options)
        if absent := [path for path in args.checkpoints if not Path(path).is_file()]:
            raise FileNotFoundError(f'no checkpoint at "{absent[0]}": check the path')
        if args.out and len(args.checkpoints) > 1:
            raise ValueError(f'--out with {len(args.checkpoints)} checkpoints: without it each has a file of its own')
    else:
        resume = args.resume
        if int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)):
            # torchrun starts all ranks again after one has failed: from where they were, not from where they began
            resume = 'auto' if newest_intact_checkpoint(cfg.work_dir) else args.resume
        apply_command_line(cfg, options, resume=resume, amp=args.amp, auto_scale_lr=args.auto_scale_lr)
    check_sections(cfg, TESTING if args.tests else TRAINING)
    init_default_scope(cfg.get('default_scope', args.default_scope))
    if getattr(args, 'backbone', None):
        use_backbone(cfg, args.backbone)
    with building():
        runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
        if not args.tests:
            check_batches(runner.train_loop.dataloader)
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if args.tests:
        test(runner, args.checkpoints, args.out)
    else:
        runner.train()
    if torch_dist.is_initialized():
        # Left to the interpreter's exit, gloo's threads end some processes with SIGABRT after all work is done.
        torch_dist.barrier()
        torch_dist.destroy_process_group()


__all__ = ['main']
