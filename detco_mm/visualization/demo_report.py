"""The demo's report: which pictures it shows, and what it may and may not claim."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detco_mm.version import versions
from detco_mm.visualization.curves import finetuning_curves, pretraining_curves
from detco_mm.visualization.parts import detections_section, drawn_from, views_section
from detco_mm.visualization.progress import clock
from detco_mm.visualization.report import Section, html_page, results_table, text_table
from detco_mm.visualization.scalars import read_rows

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
) -> list[Section]:
    """Draw all pictures of the report.

    Args:
        pipeline: the pipeline of the pre-training data, from a path to a packed item.
        data: root of the embedded set.
        seed: of the views.
        pretrain: work directory of the pre-training.
        runs: configuration and checkpoint of each detector by a key of TITLES; its scalars lie beside the former.
        images: val images to detect in.
        views: unlabelled images of which to show the views.
    """
    detectors = {TITLES[name]: run for name, run in runs.items()}
    labels, folder = Path(data, 'annotations/instances_val.json'), Path(data, 'val')
    shown = {path.name: str(path) for path in sorted(Path(data, 'unlabelled').rglob('*.jpg'))[:views]}
    curves = finetuning_curves({title: read_rows(Path(config).parent) for title, (config, _) in detectors.items()})
    with drawn_from(seed):
        return [
            detections_section(labels, folder, detectors, images),
            Section('Fine-tuning', pictures=curves),
            Section('Pre-training', pictures=pretraining_curves(read_rows(pretrain, newest_only=False))),
            views_section(pipeline, shown, None),
        ]


def table_text(metrics: Metrics) -> str:
    """Write the result for the terminal."""
    return text_table(results_table(metrics))


def page(
    size: str,
    metrics: Metrics,
    sections: Sequence[Section],
    facts: Mapping[str, str],
    steps: Mapping[str, tuple[float, str]],
) -> str:
    """Write the report.

    Args:
        size: key of CAVEAT.
        metrics: metrics by the name of the run.
        sections: what ``draw`` returned.
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
            *sections,
            Section('How it was run', tables=[times, run, commands]),
        ],
    )
