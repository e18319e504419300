"""Is it learning? kNN and linear accuracy on labelled boxes, of checkpoints along a run or of any backbones.

    python tools/probe.py CONFIG CHECKPOINT... --ann labels.json --images DIR [--out work_dirs/probe]

CONFIG is a pre-training config, for its backbone. A CHECKPOINT is one of a run, an exported backbone, any file that
--from reads, or the word random. Features are averaged within each box, with BN by the statistics of each batch; the
classifiers are cross-validated by image. Prints a table, writes OUT.csv and draws OUT.png. It is what detco_mm.Probe
does while a run goes on; what that says and what it does not is in docs/probe.md.
"""

import argparse

import _stack  # noqa: F401
from mmengine.registry import init_default_scope

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.engine.checks import check_sections
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import read_config
from detco_mm.evaluation.boxes import FOLDS, MAX_BOXES, SIZE
from detco_mm.evaluation.probed_files import RANDOM, as_csv, probe_files, table
from detco_mm.visualization.curves import probe_picture
from detco_mm.visualization.report import text_table

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='pre-training config')
    parser.add_argument('checkpoints', nargs='+', metavar='CHECKPOINT', help=f'files, in order, or {RANDOM}')
    parser.add_argument('--ann', required=True, help='COCO-format labels; a few hundred boxes are enough')
    parser.add_argument('--images', required=True, help='folder of their images')
    parser.add_argument('--size', type=int, default=SIZE, help='side of the images, in pixels; default: %(default)s')
    parser.add_argument('--max-boxes', type=int, default=MAX_BOXES, help='default: %(default)s')
    parser.add_argument('--folds', type=int, default=FOLDS, help='of the cross-validation; default: %(default)s')
    parser.add_argument('--out', default='work_dirs/probe', help='path without ending; default: %(default)s')
    args = parser.parse_args()
    with said_in_one_line():
        config = read_config(args.config)
        check_sections(config, ())
        for path in args.checkpoints:
            if path != RANDOM:
                load_checkpoint(path)  # which says what is wrong with it, before anything takes time
        init_default_scope('mmselfsup')
        reading = dict(size=args.size, max_boxes=args.max_boxes, folds=args.folds)
        probed = []
        for one in probe_files(config, args.checkpoints, args.ann, args.images, **reading):
            if not probed:
                print(one.data.describe(), flush=True)
            print(f'{one.name}: mean {100 * one.found["mean"]:.1f} %', flush=True)
            probed.append(one)
        picture = probe_picture({one.name: one.found for one in probed}, [one.step for one in probed])
        write_atomically(f'{args.out}.csv', as_csv(probed))
        write_atomically(f'{args.out}.png', picture)
        print(f'\n{text_table(table(probed))}\n\n{args.out}.csv\n{args.out}.png')
