"""Compare pre-training configs: pre-train, export, fine-tune, test, over several seeds, with one table and one plot.

    python tools/ablate.py configs/ablations/mocov2_r50_8xb32.py configs/detco_r50_8xb32.py \
        --finetune configs/mmdet/mask-rcnn_r50_fpn_1x_coco.py --seeds 0 1 2 --cfg-options data.root=my/images

What is done is not repeated: stopped anywhere, the same command goes on where it was, a training from its last
checkpoint. Seeds can be shared out to several processes, each with its own --seeds, in the same --work-dir; a last call
with all of them writes the table. A finished subset can be looked at any time with --report-only.
"""

import argparse
import os
import sys
from pathlib import Path

from mmengine.config import DictAction

from detco_mm.experiments.ablation import Method, Study, Task, collect, plan
from detco_mm.experiments.outcome import write_outcome
from detco_mm.experiments.steps import run_chain

ROOT = Path(__file__).resolve().parents[1]

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', help='pre-training configs')
    parser.add_argument('--finetune', nargs='+', required=True, help='configs of detectors')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='default: 0 1 2')
    parser.add_argument('--random', action='store_true', help='fine-tune from random weights, too')
    parser.add_argument('--work-dir', default='work_dirs/ablation', help='default: %(default)s')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, default={}, help='over every pre-training config'
    )
    parser.add_argument('--finetune-options', nargs='+', action=DictAction, default={}, help='for every detector')
    parser.add_argument('--fresh', action='store_true', help='repeat what is done')
    parser.add_argument('--report-only', action='store_true', help='write the table of what is done, run nothing')
    args = parser.parse_args()
    for path in args.configs + args.finetune:
        if not Path(path).is_file():
            sys.exit(f'FileNotFoundError: no config at "{path}": give the path of a config, such as those in configs/')
    # commands run in the project's root
    configs, finetune = ([os.path.relpath(path, ROOT) for path in paths] for paths in (args.configs, args.finetune))
    work = Path(args.work_dir).resolve()
    os.chdir(ROOT)
    study = Study(
        methods=[Method('random init', None)] * args.random + [Method(Path(path).stem, path) for path in configs],
        tasks=[Task(Path(path).stem, path, args.finetune_options) for path in finetune],
        seeds=args.seeds,
        options=args.cfg_options,
    )
    facts = {'seeds': ', '.join(map(str, args.seeds)), 'pre-training': ', '.join(configs)}
    try:
        if not args.report_only:
            run_chain(plan(study, work, ROOT), work, ROOT, fresh=args.fresh)
        files = write_outcome(collect(study, work), work, 'results', 'Ablation', (), facts)
    except ValueError as error:
        sys.exit(f'{type(error).__name__}: {error}')
    print(files[1].read_text() + '\n' + '\n'.join(map(str, files)))
