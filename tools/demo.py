"""The whole way in one command: make data, pre-train and export, fine-tune twice, compare.

Each step is one of the commands that the README documents, run by itself; its output goes to a log beside its results.
A step that is done is not repeated when the demo is run again; --fresh starts over.
"""

import argparse
import os
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.engine.checks import check_seeds, check_work_dir
from detco_mm.engine.errors import said_in_one_line
from detco_mm.experiments import demo

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', choices=sorted(demo.SIZES, reverse=True), default='small')
    parser.add_argument('--seed', type=int, default=0, help='of the data, the weights and the order of images')
    parser.add_argument('--work-dir', default='work_dirs/demo')
    parser.add_argument('--fresh', action='store_true', help='repeat steps that are done')
    args = parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    os.chdir(root)
    with said_in_one_line():
        check_seeds([args.seed])
        check_work_dir(args.work_dir)
        demo.run(args.size, args.seed, Path(args.work_dir), root, fresh=args.fresh)
