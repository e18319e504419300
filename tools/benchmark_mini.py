"""The mini benchmark: does DetCo help a detector more than MoCo v2 does, and both more than no pre-training?

    python tools/benchmark_mini.py [--size small|medium] [--seeds 0 1 2] [--report-only]

All methods see the same unlabelled images equally often. Each backbone is then fine-tuned on all labels and on a tenth
of them with the same number of iterations, and tested on a split that nothing else looks at. Interrupted, it goes on
where it was. Seeds can be shared out to several processes, each with its own --seeds; a last call with all of them
writes the table.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import _stack  # noqa: F401
from mmengine.config import Config

from detco_mm.engine.checks import check_seeds, check_work_dir
from detco_mm.engine.errors import said_in_one_line
from detco_mm.experiments.ablation import Method, Study, Task, collect, plan
from detco_mm.experiments.outcome import write_outcome
from detco_mm.experiments.steps import moved, run_chain
from detco_mm.version import commit

ROOT = Path(__file__).resolve().parents[1]
PRETRAIN = 'configs/mini/detco_r18.py'
FINETUNE = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'
DATA = 'data/embedded'  # where both configs look
METHODS = {
    'random init': None,
    'MoCo v2': 'configs/mini/mocov2_r18.py',
    'DetCo': PRETRAIN,
    'DetCo, joint': 'configs/mini/detco_r18_joint.py',
    'DetCo, per patch': 'configs/mini/detco_r18_per-patch.py',
}
# `seconds` of one pre-training and one fine-tuning on two cores, by the rates of the demo, for the forecast.
SIZES: dict[str, dict[str, Any]] = {
    'small': {
        'data': {'unlabelled': 4000, 'train': 300, 'val': 100, 'test': 300},
        'epochs': 6,
        'iterations': 500,
        'seconds': (480, 220),
    },
    'medium': {
        'data': {'unlabelled': 8000, 'train': 1000, 'val': 100, 'test': 500},
        'epochs': 14,
        'iterations': 1500,
        'seconds': (2240, 660),
    },
}
# The demo's scenes: in these budgets make_data.py's own, with more and smaller objects, leave every AP near zero.
SCENES = ['--objects', '1', '4', '--clutter', '0', '2', '--diameter', '28', '100']
CLAIM = (
    'The claim to test: DetCo > MoCo v2 > random init in AP at equal pre-training images, most of all with few labels. '
    'ResNet-18 and Mask R-CNN on small synthetic scenes; nothing here is evidence about ImageNet or COCO.'
)


def study(size: str, seeds: list[int]) -> Study:
    """Write the benchmark down."""
    spec = SIZES[size]
    data = f'{DATA}-benchmark-{size}'
    epochs, iterations, (pretrain, finetune) = spec['epochs'], spec['iterations'], spec['seconds']
    detector = {
        'train_cfg.max_iters': iterations,
        # the test split alone counts, and is looked at once: no evaluation in between
        'train_cfg.val_interval': iterations + 1,
        'default_hooks.checkpoint.interval': iterations,
        'param_scheduler.0.end': iterations // 10,
        'param_scheduler.1.end': iterations,
        'param_scheduler.1.milestones': [iterations * 3 // 4, iterations * 11 // 12],
        **moved(Config.fromfile(str(ROOT / FINETUNE))._cfg_dict.to_dict(), DATA, data),
    }
    counts = [text for name, count in spec['data'].items() for text in (f'--{name}', str(count))]
    tenth = {'train_dataloader.dataset.indices': spec['data']['train'] // 10}  # scenes are drawn independently
    return Study(
        methods=[Method(name, config, pretrain) for name, config in METHODS.items()],
        tasks=[
            Task('all labels', FINETUNE, detector, finetune),
            Task('10 % of labels', FINETUNE, {**detector, **tenth}, finetune),
        ],
        seeds=seeds,
        options={
            'train_cfg.max_epochs': epochs,
            'data.root': f'{data}/unlabelled',
        },
        images=spec['data']['unlabelled'],
        frozen_data=data,
        frozen_config=PRETRAIN,
        data=[sys.executable, 'tools/make_data.py', data, '--seed', '0', *counts, *SCENES],
    )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', choices=sorted(SIZES, reverse=True), default='small')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='default: 0 1 2')
    parser.add_argument('--work-dir', help='work_dirs/benchmark-mini-SIZE by default')
    parser.add_argument('--out', help='folder for table, plot and CSV; the work dir by default')
    parser.add_argument('--report-only', action='store_true', help='write the table of what is done, run nothing')
    args = parser.parse_args()
    os.chdir(ROOT)
    work = Path(args.work_dir or f'work_dirs/benchmark-mini-{args.size}')
    spec = SIZES[args.size]
    facts = {
        'size': f'{args.size}: {spec["epochs"]} epochs of pre-training, {spec["iterations"]} iterations of fine-tuning',
        'images': ', '.join(f'{count} {name}' for name, count in spec['data'].items()),
        'seeds': ', '.join(map(str, args.seeds)),
        'configs': ', '.join(path for path in [*METHODS.values(), FINETUNE] if path),
        'commit': commit(),
    }
    with said_in_one_line():
        check_seeds(args.seeds)
        check_work_dir(work)
        chosen = study(args.size, args.seeds)
        if not args.report_only:
            run_chain(plan(chosen, work, ROOT), work, ROOT, always=['data'])
        files = write_outcome(
            collect(chosen, work),
            Path(args.out or work),
            f'benchmark-mini-{args.size}',
            f'Mini benchmark, {args.size}',
            [CLAIM],
            facts,
        )
    print(files[1].read_text(encoding='utf-8') + '\n' + '\n'.join(map(str, files)))
