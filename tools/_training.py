"""What the training and testing tools share: from their command line to detco_mm.engine.launch."""

import argparse
from pathlib import Path

import _stack  # noqa: F401
from mmengine.config import DictAction

from detco_mm.engine import launch
from detco_mm.engine.errors import said_in_one_line


def main(args: argparse.Namespace) -> None:
    """Train, or test, what the command line says."""
    with said_in_one_line():
        # MMEngine's reading of KEY=VALUE, which adds to `args` a mapping
        DictAction([], 'options')(None, args, args.cfg_options or ())
        cfg = launch.read_config(args.config, Path(__file__).parents[1], args.work_dir, args.launcher)
        if args.tests:
            launch.test(cfg, args.checkpoints, args.options, scope=args.default_scope, out=args.out)
        else:
            launch.train(
                cfg,
                args.options,
                scope=args.default_scope,
                backbone=args.backbone,
                resume=args.resume,
                amp=args.amp,
                auto_scale_lr=args.auto_scale_lr,
                trackers=args.tracker,
            )


__all__ = ['main']
