"""Compare starts of a detector: pre-train, export, fine-tune, test, over several seeds, with one table and one plot.

    python tools/ablate.py configs/ablations/mocov2_r50_8xb32.py configs/detco_r50_8xb32.py \
        --finetune configs/mmdet/mask-rcnn_r50_fpn_1x_coco.py --seeds 0 1 2 --cfg-options data.root=my/images

Each pre-training config is a start of its own; --random and --weights NAME=FILE add others, and each config after
--go-on is pre-trained once more from each of the weights. With --data NAME=FOLDER, once for each data set, all configs
are led there: FOLDER has annotations/instances_{train,val,test}.json, train/, val/ and test/, and unlabelled/ to
pre-train on. --shares 10 100 fine-tunes on a tenth of the labels, drawn anew with each seed and the same for all
starts, and on all of them.

What is done is not repeated: stopped anywhere, the same command goes on where it was, a training from its last
checkpoint. Seeds can be shared out to several processes, each with its own --seeds, in the same --work-dir; a last call
with all of them writes the table. A finished subset can be looked at any time with --report-only. Where the work
directory is gone and its CSV is not, --known CSV takes the finished rows from there.

A study whose pre-training images show what val or test shows does not start.

Choose settings with --split val and other seeds than those of the table; test once.
"""

import argparse
import os
import sys
from pathlib import Path

import _stack  # noqa: F401

from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.engine.checks import check_sections, check_seeds, check_work_dir
from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import read_config
from detco_mm.engine.options import read_options
from detco_mm.experiments.ablation import Method, Study, Task, collect, course, plan
from detco_mm.experiments.data_sets import DataSet
from detco_mm.experiments.leakage import check_leakage
from detco_mm.experiments.outcome import write_outcome
from detco_mm.experiments.results import from_csv
from detco_mm.experiments.steps import run_chain
from detco_mm.version import commit

ROOT = Path(__file__).resolve().parents[1]


def named(text: str) -> tuple[str, str]:
    """Read NAME=PATH."""
    name, _, path = text.partition('=')
    if not name or not path:
        raise argparse.ArgumentTypeError(f'"{text}" is no NAME=PATH, such as ImageNet=resnet50.pth')
    return name, path


def label(share: float | None) -> str:
    """Name a share of the labels in the name of a task."""
    return '' if share is None else f', {share:g} % of labels'


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='*', help='pre-training configs')
    parser.add_argument('--random', action='store_true', help='fine-tune from random weights, too')
    parser.add_argument(
        '--weights', nargs='+', default=[], type=named, metavar='NAME=FILE', help='fine-tune from these, too'
    )
    parser.add_argument('--go-on', nargs='+', default=[], metavar='CONFIG', help='pre-train from each of --weights')
    parser.add_argument('--finetune', nargs='+', required=True, metavar='CONFIG', help='configs of detectors')
    parser.add_argument('--data', nargs='+', default=[], type=named, metavar='NAME=FOLDER', help='data sets')
    parser.add_argument('--shares', nargs='+', type=float, metavar='PERCENT', help='of the labels; needs --data')
    parser.add_argument(
        '--split', choices=('test', 'val'), default='test', help='of --data, tested on; test by default'
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='default: 0 1 2')
    parser.add_argument('--against', help='the start that others are compared with; the first by default')
    parser.add_argument('--known', metavar='CSV', help='results of an earlier run of this study, not to be run again')
    parser.add_argument('--work-dir', default='work_dirs/ablation', help='default: %(default)s')
    parser.add_argument('--cfg-options', nargs='+', action='extend', default=[], help='over every pre-training config')
    parser.add_argument('--finetune-options', nargs='+', action='extend', default=[], help='for every detector')
    parser.add_argument('--fresh', action='store_true', help='repeat what is done')
    parser.add_argument('--report-only', action='store_true', help='write the table of what is done, run nothing')
    args = parser.parse_args()
    given = [*args.configs, *args.go_on, *args.finetune, *(path for _, path in args.weights)]
    given += [args.known] if args.known else []
    for path in given:
        if not Path(path).is_file():
            sys.exit(f'FileNotFoundError: no file at "{path}": give the path of one, such as a config in configs/')
    if args.go_on and not args.weights:
        sys.exit('ValueError: --go-on without --weights NAME=FILE: name what to go on from')
    # commands run in the project's root
    configs, go_on, finetune = (
        [os.path.relpath(path, ROOT) for path in paths] for paths in (args.configs, args.go_on, args.finetune)
    )
    with said_in_one_line():
        check_seeds(args.seeds)
        check_work_dir(args.work_dir)
        for path in (*args.configs, *args.go_on, *args.finetune):
            check_sections(read_config(path), ('train_dataloader',))
        for _, path in args.weights:
            load_checkpoint(path)
        if wrong := [share for share in args.shares or () if not 0 < share <= 100]:
            raise ValueError(f'--shares {wrong[0]:g}: it is percent of the labels, above 0 and at most 100')
        known = from_csv(Path(args.known).read_text(encoding='utf-8')) if args.known else []
        # read with the first config, which says what is text
        options, finetune_options = (
            read_options(texts, read_config(paths[0])) if texts and paths else {}
            for texts, paths in (
                (args.cfg_options, [*args.configs, *args.go_on]),
                (args.finetune_options, args.finetune),
            )
        )
    weights = {name: str(Path(path).resolve()) for name, path in args.weights}
    data_sets = [DataSet(name, Path(folder).resolve()) for name, folder in args.data]
    work = Path(args.work_dir).resolve()
    os.chdir(ROOT)
    study = Study(
        methods=[Method('random init', None)] * args.random
        + [Method(name, None, weights=file) for name, file in weights.items()]
        + [Method(Path(path).stem, path) for path in configs]
        + [
            Method(f'{name}, then {Path(path).stem}', path, weights=file)
            for name, file in weights.items()
            for path in go_on
        ],
        tasks=[
            Task(f'{Path(path).stem}{label(share)}', path, finetune_options, share=share)
            for path in finetune
            for share in args.shares or [None]
        ],
        seeds=args.seeds,
        options=options,
        data_sets=data_sets,
        split=args.split,
        known=known,
    )
    facts = {
        'seeds': ', '.join(map(str, args.seeds)),
        'pre-training': ', '.join(configs + go_on),
        'fine-tuning': ', '.join(finetune),
        'settings over pre-training': ' '.join(args.cfg_options),
        'settings over fine-tuning': ' '.join(args.finetune_options),
        'tested on': args.split if data_sets else 'the test set of the configs',
        'commit': commit(),
    }
    with said_in_one_line():
        names = [method.name for method in study.methods]
        if not names:
            raise ValueError('nothing to compare: give pre-training configs, --random or --weights NAME=FILE')
        if args.against not in (None, *names):
            raise ValueError(f'--against "{args.against}" is no start of this study: {", ".join(names)}')
        steps = plan(study, work, ROOT)
        if not args.report_only:
            check_leakage(study, work, ROOT)
            run_chain(steps, work, ROOT, fresh=args.fresh)
        found = collect(study, work)
        against = args.against or study.methods[0].name
        files = write_outcome(found, work, 'results', 'Ablation', (), facts, against, course(study, work))
    print(files[1].read_text(encoding='utf-8') + '\n' + '\n'.join(map(str, files)))
