"""The demo: make data, pre-train, export, fine-tune twice, compare, as the commands that the README documents."""

import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config

from detco_mm.experiments.steps import (
    Step,
    config_text,
    last_checkpoint,
    moved,
    option_list,
    overridden,
    run_chain,
)
from detco_mm.visualization import demo_report
from detco_mm.visualization.progress import clock, total_steps
from detco_mm.visualization.scalars import last_metrics, read_rows

PRETRAIN = 'configs/mini/detco_r18.py'
FINETUNE = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'
DATA = 'data/embedded'  # where both configs look

# What each size runs. `seconds` is what each step took on two cores, of which other work had a part in the medium size:
# the forecast of the time left starts from it.
# Few steps need scenes that are easier than tools/make_data.py's own: larger objects, fewer other things.
SCENES = ['--objects', '1', '4', '--clutter', '0', '2', '--diameter', '28', '100']
SIZES: dict[str, dict[str, Any]] = {
    'small': {
        'data': {'unlabelled': 2000, 'train': 300, 'val': 150, 'test': 0},
        'epochs': 5,
        'finetune_iters': 300,
        'seconds': {'data': 16, 'pretrain': 240, 'random': 129, 'detco': 128},
    },
    'medium': {
        'data': {'unlabelled': 4000, 'train': 600, 'val': 200, 'test': 0},
        'epochs': 28,
        'finetune_iters': 1500,
        'seconds': {'data': 20, 'pretrain': 2681, 'random': 635, 'detco': 717},
    },
}


def epochs(count: int) -> dict[str, Any]:
    """Return the settings that shorten or lengthen the pre-training with its schedule."""
    # channels last: a sixth less processor time for ResNet-18 on a CPU
    return {'train_cfg.max_epochs': count, 'model.data_preprocessor.channels_last': True}


def iterations(iters: int) -> dict[str, Any]:
    """Return the settings that shorten or lengthen the fine-tuning with its schedule."""
    return {
        'train_cfg.max_iters': iters,
        'train_cfg.val_interval': iters,
        'default_hooks.checkpoint.interval': iters,
        'param_scheduler.0.end': max(1, iters // 10),
        'param_scheduler.1.end': iters,
        'param_scheduler.1.milestones': [iters * 3 // 4, iters * 11 // 12],
    }


def plan(size: str, seed: int, work: Path, root: Path, data: str | None = None) -> list[Step]:
    """Write the demo down as commands.

    Args:
        size: a key of SIZES.
        seed: of the data, the weights and the order of images.
        work: folder of the runs.
        root: folder of the project, with configs/ and tools/.
        data: folder of the data; by default one for each size and seed, beside that of the configs.
    """
    spec, python = SIZES[size], sys.executable
    data, took = data or f'{DATA}-{size}-{seed}', spec['seconds']

    def settings(path: str) -> dict[str, Any]:
        return {'randomness.seed': seed, **moved(Config.fromfile(str(root / path))._cfg_dict.to_dict(), DATA, data)}

    pre_settings = epochs(spec['epochs']) | settings(PRETRAIN) | {'work_dir': str(work / 'pretrain')}
    det_settings = iterations(spec['finetune_iters']) | settings(FINETUNE)
    pre, det = overridden(root / PRETRAIN, pre_settings), overridden(root / FINETUNE, det_settings)
    det_options = ['--cfg-options', *option_list(det_settings)]
    pre_steps, det_steps = total_steps(pre, spec['data']['unlabelled']), total_steps(det, spec['data']['train'])
    weights = str(work / 'backbone.pth')
    counts = [text for name, count in spec['data'].items() for text in (f'--{name}', str(count))]
    return [
        Step(
            'data',
            'making the embedded detection data',
            [python, 'tools/make_data.py', data, '--seed', str(seed), *counts, *SCENES],
            took['data'],
        ),
        # The one call goes on with the config that it finds, the mini benchmark's, where it would choose one itself.
        Step(
            'pretrain',
            f'pre-training DetCo for {pre_steps} iterations',
            [python, 'tools/pretrain.py', f'{data}/unlabelled', '--backbone', 'resnet18', '--out', str(work)],
            took['pretrain'],
            work / 'pretrain',
            pre_steps,
            ('data',),
            config_text(pre),
            resume=[],
            config_file=work / 'pretrain.py',
        ),
        Step(
            'random',
            f'fine-tuning Mask R-CNN from random weights for {det_steps} iterations',
            [python, 'tools/det_train.py', FINETUNE, '--work-dir', str(work / 'random'), *det_options],
            took['random'],
            work / 'random',
            det_steps,
            ('data',),
            str(det._cfg_dict),
        ),
        Step(
            'detco',
            f'fine-tuning Mask R-CNN from DetCo for {det_steps} iterations',
            [python, 'tools/det_train.py', FINETUNE, weights, '--work-dir', str(work / 'detco'), *det_options],
            took['detco'],
            work / 'detco',
            det_steps,
            ('pretrain',),
            str(det._cfg_dict),
        ),
    ]


def run(size: str, seed: int, work: Path, root: Path, data: str | None = None, fresh: bool = False) -> None:
    """Run what is not done yet, in the current folder, and write the report.

    Args:
        size, seed, work, root, data: as for `plan`.
        fresh: repeat steps that are done.
    """
    work.mkdir(parents=True, exist_ok=True)
    steps = plan(size, seed, work, root, data)
    print(
        f'DetCo demo, size {size}, seed {seed}: {len(steps)} steps, about '
        f'{clock(sum(step.seconds for step in steps))} on two cores from the start',
        flush=True,
    )
    # The data's own command finds out by itself whether they are there.
    seconds = run_chain(steps, work, root, fresh=fresh, always=['data'])

    print('drawing the report', flush=True)
    config = Config.fromfile(str(work / 'pretrain.py'))
    sections = demo_report.draw(
        pipeline=config.train_dataloader.dataset.pipeline,
        data=steps[0].command[2],
        seed=seed,
        pretrain=work / 'pretrain',
        runs={name: (work / name / Path(FINETUNE).name, last_checkpoint(work / name)) for name in ('random', 'detco')},
    )
    metrics = {title: last_metrics(read_rows(work / name)) for name, title in demo_report.TITLES.items()}
    facts = {
        'size and seed': f'{size}, {seed}',
        'images': ', '.join(f'{count} {name}' for name, count in SIZES[size]['data'].items() if count),
        'configs': f'{PRETRAIN}, {FINETUNE}',
    }
    report = work / 'report.html'
    report.write_text(
        demo_report.page(
            size,
            metrics,
            sections,
            facts,
            {step.title: (seconds[step.name], ' '.join(['python', *step.command[1:]])) for step in steps},
        )
    )
    print(f'\n{demo_report.table_text(metrics)}\n\n{demo_report.CAVEAT[size]}\n\nreport: {report}')
