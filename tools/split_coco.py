"""Draw shares of a COCO-format set's images: few labels for a study, or training and validation data.

    python tools/split_coco.py [ANN_FILE] [--out DIR] [--percents 1 2 5 10] [--rest] [--seed 0]

By default the files are those of COCO, and go where configs/mmdet/*_coco-{1,2,5,10}pct.py look for them.
"""

import argparse

import _stack  # noqa: F401

from detco_mm.datasets.split import split_coco
from detco_mm.engine.errors import said_in_one_line

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('ann_file', nargs='?', default='data/coco/annotations/instances_train2017.json')
    parser.add_argument('--out', default='data/coco/annotations/semi', help='default: %(default)s')
    parser.add_argument('--percents', nargs='+', type=float, default=[1, 2, 5, 10], help='default: 1 2 5 10')
    parser.add_argument(
        '--rest', action='store_true', help='also write what is not in the share, to ..._PERCENTpct-rest.json'
    )
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    args = parser.parse_args()
    with said_in_one_line():
        files = split_coco(args.ann_file, args.out, args.percents, args.seed, args.rest)
    print('\n'.join(map(str, files)))
