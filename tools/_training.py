"""What the training and testing tools share: from their command line to detco_mm.engine.launch."""

import argparse
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.engine import launch
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.options import read_options


def main(args: argparse.Namespace) -> None:
    """Train, or test, what the command line says."""
    with said_in_one_line():
        cfg = launch.read_config(args.config, Path(__file__).parents[1], args.work_dir, args.launcher)
        options = read_options(args.cfg_options or (), cfg)
        if args.tests:
            launch.test(cfg, args.checkpoints, options, scope=args.default_scope, out=args.out)
        else:
            launch.train(
                cfg,
                options,
                scope=args.default_scope,
                backbone=args.backbone,
                start=getattr(args, 'from'),
                projections=args.from_projections,
                resume=args.resume,
                amp=args.amp,
                auto_scale_lr=args.auto_scale_lr,
                trackers=args.tracker,
            )


__all__ = ['main']
