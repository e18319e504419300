"""Check COCO-format labels before anything is trained on them, and look at a dozen of them.

    python tools/check_labels.py JSON IMAGES [CONFIG] [--picture OUT.png] [--fixed OUT.json]

With the config of a detector, names of classes, num_classes and masks are compared as well. Every line says a kind of
thing with its count and the first places: `stop`, which a run must not go on with; `fixed`, which a run fixes in a copy
of its own, and --fixed writes down; `note`, which is allowed. Ends with code 1 if a run would stop. JSON is unchanged.
"""

import argparse
import sys
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.checkpoints.files import write_atomically
from detco_mm.datasets.coco_labels import check_coco, write_fixed
from detco_mm.datasets.coco_labels.boxes import LAYOUTS
from detco_mm.datasets.coco_labels.check import without_faults
from detco_mm.datasets.coco_labels.table import class_table
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.labels import config_needs
from detco_mm.engine.launch import read_config
from detco_mm.visualization.labels import labels_picture


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('json', help='COCO-format labels')
    parser.add_argument('images', help='folder that their file names are relative to')
    parser.add_argument('config', nargs='?', help='config of the detector that is to learn them')
    parser.add_argument('--picture', metavar='OUT.png', help='draw a dozen labelled images')
    parser.add_argument('--fixed', metavar='OUT.json', help='write a copy in which all that can be is fixed')
    parser.add_argument('--boxes', choices=LAYOUTS, help='how boxes are written; looked at by default')
    parser.add_argument('--drop', action='store_true', help='leave out of --fixed what has a fault')
    args = parser.parse_args()
    if args.drop and not args.fixed:
        parser.error('--drop: say by --fixed where to write what is left')
    if args.fixed and Path(args.fixed).resolve() == Path(args.json).resolve():
        parser.error(f'--fixed {args.fixed}: that is the file itself, which is not changed; give another name')
    return args


def main(args: argparse.Namespace) -> int:
    """Check, print and write; return the exit code."""
    needs, wrong = {}, None
    if args.config:
        needs, wrong = config_needs(read_config(args.config, Path(__file__).parents[1]))
    labels = check_coco(args.json, args.images, layout=args.boxes, sample=None, **needs)
    if wrong:
        labels.stop(wrong)
    lines = labels.lines() or ['nothing is wrong with these labels']
    print('\n'.join(lines))
    print(f'\n{len(labels.images)} images, {len(labels.objects)} objects without a fault')
    print(class_table(labels))
    if args.picture:
        write_atomically(args.picture, labels_picture(labels, args.images))
        print(f'picture: {args.picture}')
    if args.fixed:
        if args.drop:
            without_faults(labels)
        write_fixed(labels, args.fixed)
        print(f'fixed: {args.fixed}')
        labels = check_coco(args.fixed, args.images, **needs)
        if labels.complaint:
            print(f'what cannot be fixed is still there: {labels.complaint}')
    return 1 if wrong or labels.complaint else 0


if __name__ == '__main__':
    with said_in_one_line():
        sys.exit(main(parse()))
