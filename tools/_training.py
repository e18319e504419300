"""The command line that train.py, det_train.py and det_test.py share: OpenMMLab's flags, MMEngine's Runner."""

import argparse
import json
import os
import sys
from pathlib import Path

try:
    import detco_mm  # noqa: F401  (repairs the stack before anything else of it is imported)
except ImportError as error:
    sys.exit(f'{type(error).__name__}: {error}')

import torch.distributed as torch_dist
from mmengine.config import Config, DictAction
from mmengine.dist import is_main_process
from mmengine.registry import RUNNERS, init_default_scope
from mmengine.runner import Runner

from detco_mm.run_config import prepare, use_backbone


def parse(default_scope: str, tests: bool) -> argparse.Namespace:
    """Read OpenMMLab's usual flags."""
    parser = argparse.ArgumentParser(
        description=sys.modules['__main__'].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file')
    if tests:
        parser.add_argument('checkpoint', help='checkpoint of the detector')
        parser.add_argument('--out', help='JSON file for the metrics')
    elif default_scope != 'mmselfsup':
        parser.add_argument('backbone', nargs='?', help='checkpoint whose backbone to start from')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; work_dirs/<name of the config> by default')
    if not tests:
        parser.add_argument(
            '--resume',
            nargs='?',
            const='auto',
            metavar='CHECKPOINT',
            help='go on from a checkpoint; without one, from the latest in the work dir',
        )
        parser.add_argument('--amp', action='store_true', help='automatic mixed precision; bf16 where there is no GPU')
        parser.add_argument(
            '--auto-scale-lr',
            action='store_true',
            help="scale the learning rate with the batch over all GPUs, from the config's base_batch_size",
        )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. data.root=my/images',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by some launchers')
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main(default_scope: str, tests: bool = False) -> None:
    """Train, or test, what the command line says."""
    args = parse(default_scope, tests)
    try:
        if not Path(args.config).is_file():
            raise FileNotFoundError(
                f'no config at "{args.config}": give the path of a config, such as those in configs/'
            )
        cfg = Config.fromfile(args.config)
        cfg.launcher = args.launcher
        if tests:
            cfg.load_from = args.checkpoint
            prepare(cfg, args.cfg_options)
        else:
            prepare(cfg, args.cfg_options, resume=args.resume, amp=args.amp, auto_scale_lr=args.auto_scale_lr)
        cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
        init_default_scope(cfg.get('default_scope', default_scope))
        if getattr(args, 'backbone', None):
            use_backbone(cfg, args.backbone)
        runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
        if tests:
            metrics = runner.test()
            if args.out and is_main_process():
                Path(args.out).write_text(json.dumps(metrics, indent=1) + '\n')
        else:
            runner.train()
        if torch_dist.is_initialized():
            # Left to the interpreter's exit, gloo's threads end some processes with SIGABRT after all work is done.
            torch_dist.barrier()
            torch_dist.destroy_process_group()
    except (FileNotFoundError, ValueError) as error:
        # What a user can mend: one message. Anything else is a bug and keeps its stack trace.
        if os.environ.get('DETCO_TRACEBACK'):
            raise
        sys.exit(f'{type(error).__name__}: {error}')


__all__ = ['main']
