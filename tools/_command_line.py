"""The command line of the tools that train and test; it needs nothing of the stack, so that --help is quick."""

import argparse
import multiprocessing
import os
import sys

if getattr(multiprocessing.current_process(), '_inheriting', False):  # as multiprocessing.spawn itself tells
    # A data worker that is started by spawn imports the tool, then the data set: mmcv has to be complete before.
    import _stack  # noqa: F401


def parse(default_scope: str, tests: bool = False) -> argparse.Namespace:
    """Read OpenMMLab's usual flags.

    Args:
        default_scope: of configs that name none.
        tests: whether the tool tests, and does not train.
    """
    parser = argparse.ArgumentParser(
        description=sys.modules['__main__'].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(default_scope=default_scope, tests=tests)
    parser.add_argument('config', help='config file')
    if tests:
        parser.add_argument('checkpoints', nargs='+', help='checkpoints of the model')
        parser.add_argument('--out', help='JSON file for the metrics of a single checkpoint')
    else:
        parser.add_argument('backbone', nargs='?', help='of a downstream model: weights to start from')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; work_dirs/<name of the config> by default')
    if not tests:
        parser.add_argument(
            '--resume',
            nargs='?',
            const='auto',
            metavar='CHECKPOINT',
            help='go on from a checkpoint; without one, from the latest in the work dir',
        )
        parser.add_argument('--from', metavar='FILE', help='pre-train from the weights in any file that holds them')
        parser.add_argument('--from-projections', action='store_true', help="take that file's projections as well")
        parser.add_argument(
            '--tracker',
            action='append',
            default=[],
            choices=['tensorboard', 'wandb', 'mlflow'],
            help='write scalars there, too; may be given several times',
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
        action='extend',
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. data.root=my/images',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by some launchers')
    args = parser.parse_args()
    if wrong := [option for option in args.cfg_options or () if '=' not in option]:
        parser.error(f'--cfg-options {wrong[0]}: write KEY=VALUE')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args
