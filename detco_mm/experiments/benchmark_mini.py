"""The mini benchmark: does DetCo help a detector more than MoCo v2 does, and both more than no pre-training?"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from detco_mm.experiments.ablation import Method, Study, Task, collect
from detco_mm.experiments.ablation import plan as commands
from detco_mm.experiments.demo import DATA, FINETUNE, PRETRAIN, SCENES, iterations
from detco_mm.experiments.outcome import write_outcome
from detco_mm.experiments.steps import moved, run_chain
from detco_mm.version import commit

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
CLAIM = (
    'The claim to test: DetCo > MoCo v2 > random init in AP at equal pre-training images. '
    'ResNet-18 and Mask R-CNN on small synthetic scenes; nothing here is evidence about ImageNet or COCO.'
)


def study(size: str, seeds: Sequence[int], root: Path) -> Study:
    """Write the benchmark down, on scenes as easy as the demo's: harder ones leave every AP near zero in its budgets.

    Args:
        size: a key of SIZES.
        seeds: of weights and of the order of images; the data have seed 0.
        root: folder of the project, with configs/ and tools/.
    """
    spec = SIZES[size]
    data = f'{DATA}-benchmark-{size}'
    pretrain, finetune = spec['seconds']
    detector = {
        **iterations(spec['iterations']),
        # the test split alone counts, and is looked at once: no evaluation in between
        'train_cfg.val_interval': spec['iterations'] + 1,
        **moved(Config.fromfile(str(root / FINETUNE))._cfg_dict.to_dict(), DATA, data),
    }
    counts = [text for name, count in spec['data'].items() for text in (f'--{name}', str(count))]
    return Study(
        methods=[Method(name, config, pretrain) for name, config in METHODS.items()],
        tasks=[Task('all labels', FINETUNE, detector, finetune)],
        seeds=seeds,
        options={'train_cfg.max_epochs': spec['epochs'], 'data.root': f'{data}/unlabelled'},
        images=spec['data']['unlabelled'],
        frozen_data=data,
        frozen_config=PRETRAIN,
        data=[sys.executable, 'tools/make_data.py', data, '--seed', '0', *counts, *SCENES],
    )


def run(size: str, seeds: Sequence[int], work: Path, out: Path, root: Path, report_only: bool = False) -> list[Path]:
    """Do what is not done yet, and write table, plot and CSV.

    Args:
        size, seeds, root: as for :func:`study`.
        work: folder of the runs.
        out: folder of what is written.
        report_only: run nothing.

    Returns:
        The files, the table second.
    """
    spec, chosen = SIZES[size], study(size, seeds, root)
    facts = {
        'size': f'{size}: {spec["epochs"]} epochs of pre-training, {spec["iterations"]} iterations of fine-tuning',
        'images': ', '.join(f'{count} {name}' for name, count in spec['data'].items()),
        'seeds': ', '.join(map(str, seeds)),
        'configs': ', '.join(path for path in [*METHODS.values(), FINETUNE] if path),
        'commit': commit(),
    }
    if not report_only:
        run_chain(commands(chosen, work, root), work, root, always=['data'])
    title = f'Mini benchmark, {size}'
    return write_outcome(collect(chosen, work), out, f'benchmark-mini-{size}', title, [CLAIM], facts)
