"""The demo's report: which pictures it shows, and what it may and may not claim."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.device import get_device

from detco_mm.version import versions
from detco_mm.visualization.curves import finetuning_curves, pretraining_curves
from detco_mm.visualization.detections import detections_picture
from detco_mm.visualization.inference import annotated_images, detect
from detco_mm.visualization.pictures import drawable
from detco_mm.visualization.progress import clock
from detco_mm.visualization.report import Section, html_page, results_table, text_table
from detco_mm.visualization.scalars import read_rows
from detco_mm.visualization.views import views_picture

TITLES = {'random': 'random init', 'detco': 'DetCo'}
Metrics = Mapping[str, Mapping[str, float]]
_BOTH = (
    'Both rows share data, fine-tuning budget and seed; only the weights that the backbone starts from differ. '
    'It is one seed on small synthetic scenes with ResNet-18: '
)
CAVEAT = {
    'small': _BOTH + 'it shows that the whole chain works, and what a few minutes of pre-training give a detector that '
    'is itself trained for a few minutes, at AP of a few percent. It cannot show what is left of the difference after '
    'longer training: that is for SIZE=medium. Another seed gives another difference, and nothing here is evidence '
    'about ImageNet or COCO.',
    'medium': _BOTH + 'it shows what is left of the difference when pre-training takes thousands of steps and the '
    'detector four times as many as in the small size. A claim would need several seeds, and nothing here is evidence '
    'about ImageNet or COCO.',
}


def draw(
    pipeline: list[dict[str, Any]],
    data: str | Path,
    seed: int,
    pretrain: str | Path,
    runs: Mapping[str, tuple[str | Path, str | Path]],
    images: int = 6,
    views: int = 4,
) -> dict[str, dict[str, bytes]]:
    """Draw all pictures of the report.

    Args:
        pipeline: the pipeline of the pre-training data, from a path to a packed item.
        data: root of the embedded set.
        seed: of the views.
        pretrain: work directory of the pre-training.
        runs: configuration and checkpoint of each detector by a key of TITLES; its scalars lie beside the former.
        images: val images to detect in.
        views: unlabelled images of which to show the views.

    Returns:
        PNG bytes by caption, by the part of the report: pretrain, finetune, views, detections.
    """
    from mmengine.dataset import Compose
    from mmengine.registry import DefaultScope

    random.seed(seed)
    np.random.seed(seed)
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        compose = Compose(pipeline)
    paths = sorted(Path(data, 'unlabelled').rglob('*.jpg'))[:views]
    items = [compose({'img_path': str(path)}) for path in paths]
    pictures, truth, classes = annotated_images(Path(data, 'annotations/instances_val.json'), Path(data, 'val'), images)
    device = get_device()
    columns = {'ground truth': truth}
    for name, (config, weights) in runs.items():
        # A short training gives low scores: a threshold would leave nothing to compare.
        found = detect(config, weights, pictures, device)
        columns[TITLES[name]] = [mine.best(len(theirs.boxes)) for mine, theirs in zip(found, truth, strict=True)]
    return {
        'pretrain': pretraining_curves(read_rows(pretrain, newest_only=False)),
        'finetune': finetuning_curves(
            {TITLES[name]: read_rows(Path(config).parent) for name, (config, _) in runs.items()}
        ),
        'views': {
            'Four views of each image: two global ones, and two local ones as nine shuffled patches.': views_picture(
                [drawable(path) for path in paths], [item['inputs'] for item in items]
            )
        },
        'detections': {
            'Val images: the annotation, and as many of what each model finds, the highest scores first.': (
                detections_picture(pictures, columns, classes)
            )
        },
    }


def table_text(metrics: Metrics) -> str:
    """Write the result for the terminal."""
    return text_table(results_table(metrics))


def page(
    size: str,
    metrics: Metrics,
    pictures: Mapping[str, Mapping[str, bytes]],
    facts: Mapping[str, str],
    steps: Mapping[str, tuple[float, str]],
) -> str:
    """Write the report.

    Args:
        size: key of CAVEAT.
        metrics: metrics by the name of the run.
        pictures: what ``draw`` returned.
        facts: what to say about the run beside the versions.
        steps: seconds and command by the title of the step.

    Returns:
        HTML that needs no other file.
    """
    times = [
        ['step', 'time'],
        *([title, clock(seconds)] for title, (seconds, _) in steps.items()),
        ['together', clock(sum(seconds for seconds, _ in steps.values()))],
    ]
    commands = [['step', 'command'], *([title, command] for title, (_, command) in steps.items())]
    run = [['what', 'value'], *([key, value] for key, value in {**facts, **versions()}.items())]
    return html_page(
        'DetCo demo',
        [
            Section(
                'DetCo against random init',
                [
                    'Mask R-CNN, ResNet-18 with FPN, on the val images of the embedded '
                    'detection set; COCO metrics in percent.',
                    CAVEAT[size],
                ],
                [results_table(metrics)],
            ),
            Section('Detections', pictures=pictures['detections'], wide=True),
            Section('Fine-tuning', pictures=pictures['finetune']),
            Section('Pre-training', pictures=pictures['pretrain']),
            Section('What pre-training sees', pictures=pictures['views'], wide=True),
            Section('How it was run', tables=[times, run, commands]),
        ],
    )
