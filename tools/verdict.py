"""Did a pre-training help? Short fine-tunings from its start, its middle and its end, and one sentence.

    python tools/verdict.py --start random --end work_dirs/mine/epoch_100.pth --middle work_dirs/mine/epoch_50.pth \
        --finetune my_detector.py --data data/animals --share 10

Files are checkpoints, exported backbones, or what --from reads; --start may be the word random. The detector's config
says how long a fine-tuning is: a short one will do. --data is a folder in the layout of tools/ablate.py, of which this
is one question; what is done is not repeated. It ends with: it helps, it does not, or it cannot be told with these
labels, from differences between detectors of the same seed (docs/probe.md).
"""

import argparse
import os
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.engine.checks import check_sections, check_seeds, check_work_dir
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import read_config
from detco_mm.engine.options import read_options
from detco_mm.experiments.ablation import Method, Study, Task, collect, course, plan
from detco_mm.experiments.data_sets import DataSet
from detco_mm.experiments.leakage import check_leakage
from detco_mm.experiments.outcome import write_outcome
from detco_mm.experiments.steps import run_chain
from detco_mm.experiments.verdict import END, FROZEN_BACKBONE, MARGIN, MIDDLE, START, verdict

ROOT = Path(__file__).resolve().parents[1]
RANDOM = 'random'

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--start', required=True, metavar='FILE', help=f'what was pre-trained from, or {RANDOM}')
    parser.add_argument('--middle', metavar='FILE', help='half way; may be left out')
    parser.add_argument('--end', required=True, metavar='FILE', help='where the pre-training ended')
    parser.add_argument('--finetune', required=True, metavar='CONFIG', help='config of a detector')
    parser.add_argument('--data', metavar='FOLDER', help="as for tools/ablate.py; by default the config's")
    parser.add_argument('--share', type=float, metavar='PERCENT', help='of the labels; needs --data')
    parser.add_argument('--split', choices=('test', 'val'), default='val', help='of --data; default: %(default)s')
    parser.add_argument('--frozen', action='store_true', help='do not train the backbone')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='default: 0 1 2')
    parser.add_argument('--margin', type=float, default=MARGIN, help='smallest gain in AP points; default: %(default)s')
    parser.add_argument('--work-dir', default='work_dirs/verdict', help='default: %(default)s')
    parser.add_argument('--finetune-options', nargs='+', action='extend', default=[], help='over the config')
    args = parser.parse_args()
    given = {START: args.start, MIDDLE: args.middle, END: args.end}
    files = {name: file for name, file in given.items() if file and file != RANDOM}
    with said_in_one_line():
        check_seeds(args.seeds)
        check_work_dir(args.work_dir)
        config = read_config(args.finetune)
        check_sections(config, ('train_dataloader',))
        options = read_options(args.finetune_options, config)
        for file in files.values():
            load_checkpoint(file)
        if args.share is not None and not 0 < args.share <= 100:
            raise ValueError(f'--share {args.share:g}: it is percent of the labels, above 0 and at most 100')
        if args.share is not None and not args.data:
            raise ValueError('--share without --data FOLDER: name the data set to draw the labels from')
    task = Path(args.finetune).stem + (', frozen' if args.frozen else '')
    work, finetune = Path(args.work_dir).resolve(), os.path.relpath(args.finetune, ROOT)
    study = Study(
        methods=[
            Method(name, None, weights=str(Path(files[name]).resolve()) if name in files else None)
            for name, file in given.items()
            if file
        ],
        tasks=[Task(task, finetune, {**(FROZEN_BACKBONE if args.frozen else {}), **options}, share=args.share)],
        seeds=args.seeds,
        data_sets=[DataSet(Path(args.data).resolve().name, Path(args.data).resolve())] if args.data else [],
        split=args.split,
    )
    os.chdir(ROOT)
    with said_in_one_line():
        steps = plan(study, work, ROOT)
        check_leakage(study, work, ROOT)
        run_chain(steps, work, ROOT)
        found = collect(study, work)
        title = next(result.task for result in found if result.metric == 'bbox_mAP')
        said = [verdict(found, title, margin=args.margin)]
        if args.middle:
            said.append(f'The second half alone: {verdict(found, title, margin=args.margin, start=MIDDLE)}')
        facts = {name: Path(file).name for name, file in given.items() if file}
        facts |= {'settings over fine-tuning': ' '.join(args.finetune_options), 'tested on': args.split}
        pages = write_outcome(found, work, 'verdict', 'Verdict', said, facts, START, course(study, work))
        write_atomically(work / 'verdict.txt', said[0] + '\n')
    print(pages[1].read_text(encoding='utf-8') + '\n' + '\n'.join(map(str, pages)) + '\n\n' + '\n'.join(said))
