"""What the training tools and det_test.py share: from their command line to MMEngine's Runner."""

import argparse
import hashlib
import json
import logging
import os
import sys
from pathlib import Path

import _stack  # noqa: F401
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.finding import newest_intact_checkpoint
from detco_mm.checkpoints.reading import safe_loading
from detco_mm.engine.errors import RunStopped
from detco_mm.engine.settings import apply_command_line, use_backbone
from detco_mm.visualization.report import evaluation_table, text_table


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
    try:
        # MMEngine's reading of KEY=VALUE, which adds to `args` a mapping
        DictAction([], 'options')(None, args, args.cfg_options or ())
        path = Path(args.config)
        if not path.is_file():
            # `mim run detco_mm det_train configs/...`, from any folder: the package's configs lie beside its tools
            path = Path(__file__).parents[1] / args.config
        if not path.is_file():
            raise FileNotFoundError(
                f'no config at "{args.config}": give the path of a config, such as those in configs/'
            )
        cfg = Config.fromfile(path)
        cfg.launcher = args.launcher
        cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
        if args.tests:
            apply_command_line(cfg, args.options)
            if absent := [path for path in args.checkpoints if not Path(path).is_file()]:
                raise FileNotFoundError(f'no checkpoint at "{absent[0]}": check the path')
            if args.out and len(args.checkpoints) > 1:
                raise ValueError(
                    f'--out with {len(args.checkpoints)} checkpoints: without it each has a file of its own'
                )
        else:
            resume = args.resume
            if int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)):
                # torchrun starts all ranks again after one has failed: from where they were, not from where they began
                resume = 'auto' if newest_intact_checkpoint(cfg.work_dir) else args.resume
            apply_command_line(cfg, args.options, resume=resume, amp=args.amp, auto_scale_lr=args.auto_scale_lr)
        init_default_scope(cfg.get('default_scope', args.default_scope))
        if getattr(args, 'backbone', None):
            use_backbone(cfg, args.backbone)
        runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
        if args.tests:
            test(runner, args.checkpoints, args.out)
        else:
            runner.train()
        if torch_dist.is_initialized():
            # Left to the interpreter's exit, gloo's threads end some processes with SIGABRT after all work is done.
            torch_dist.barrier()
            torch_dist.destroy_process_group()
    except RunStopped as error:
        # Every rank gets here with the same words; the first one says them, in its log as well.
        if os.environ.get('DETCO_TRACEBACK'):
            raise
        if is_main_process():
            print_log(str(error), logger='current', level=logging.ERROR)
        if torch_dist.is_initialized():
            torch_dist.destroy_process_group()
        sys.exit(1)
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
        # What a user can mend: one message. Anything else is a bug and keeps its stack trace.
        if os.environ.get('DETCO_TRACEBACK'):
            raise
        mend = '; make setup installs what the configs here need' if isinstance(error, ModuleNotFoundError) else ''
        sys.exit(f'{type(error).__name__}: {error}{mend}')


__all__ = ['main']
