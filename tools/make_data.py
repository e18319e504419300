"""Make the embedded detection set: python tools/make_data.py data/embedded."""

import argparse
import os
import time

import _stack  # noqa: F401

from detco_mm.datasets import SceneSpec, make_embedded
from detco_mm.engine.errors import said_in_one_line


def main() -> None:
    """Read the command line and make the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('root', help='folder to make; nothing is done if it holds the same set already')
    parser.add_argument('--seed', type=int, default=0, help='of all images')
    parser.add_argument('--unlabelled', type=int, default=2000, help='images for pre-training')
    parser.add_argument('--train', type=int, default=500, help='labelled images for fine-tuning')
    parser.add_argument('--val', type=int, default=200, help='labelled images for evaluation')
    parser.add_argument('--test', type=int, default=200, help='labelled images kept aside')
    spec = SceneSpec()
    parser.add_argument('--objects', type=int, nargs=2, default=spec.objects, help='fewest and most labelled objects')
    parser.add_argument('--clutter', type=int, nargs=2, default=spec.clutter, help='fewest and most other things')
    parser.add_argument('--diameter', type=float, nargs=2, default=spec.diameter, help='of objects, in pixels')
    parser.add_argument('--workers', type=int, default=min(8, os.cpu_count() or 1), help='processes')
    options = vars(parser.parse_args())
    start = time.monotonic()

    def report(split: str, done: int, count: int) -> None:
        print(f'{split}: {done}/{count} images, {time.monotonic() - start:.0f} s', flush=True)

    with said_in_one_line():
        options['spec'] = SceneSpec(**{name: tuple(options.pop(name)) for name in ('objects', 'clutter', 'diameter')})
        made = make_embedded(options.pop('root'), report=report, **options)
    print('made' if made else 'already there, with the same parameters')


if __name__ == '__main__':
    main()
