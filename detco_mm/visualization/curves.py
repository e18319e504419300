"""Loss and accuracy over the steps."""

import itertools
import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from detco_mm.visualization.figures import PAIR_NAMES, PAIRS, RUN_COLOURS, STAGE_COLOURS, STAGES, STYLE, png
from detco_mm.visualization.report import COCO
from detco_mm.visualization.scalars import PROBE, Row, evaluations, series, training_rows

SIZE = (5.2, 3.1)  # inches: two beside each other on a desk, one below the other on a phone


def _has(rows: Sequence[Row], name: str) -> bool:
    return any(name in row for row in rows)


def _by_stage(axes: Axes, rows: Sequence[Row], kind: str, pair: str) -> None:
    for stage in STAGES:
        steps, values = series(rows, f'{kind}_{pair}_{stage}')
        if kind == 'acc':
            # Single batches are logged: a running mean of ten, in percent.
            values = [100 * sum(values[max(0, at - 9) : at + 1]) / min(at + 1, 10) for at in range(len(values))]
        if steps:
            axes.plot(steps, values, color=STAGE_COLOURS[stage], label=stage)
    axes.set_xlabel('iteration')
    axes.set_ylim(bottom=0)
    axes.legend(ncols=2)


def pretraining_curves(rows: Sequence[Row]) -> dict[str, bytes]:
    """Draw the loss of a pre-training run: the whole, then each pair by stage, then the contrast accuracy.

    Args:
        rows: rows of ``scalars.json`` with ``loss``, ``loss_{pair}_{stage}`` and ``acc_{pair}_{stage}``.

    Returns:
        PNG bytes by caption, in reading order; a chart for which nothing was logged is left out.

    Raises:
        ValueError: if no row carries a finite loss.
    """
    all_rows, rows = rows, training_rows(rows)
    if not any(math.isfinite(row['loss']) for row in rows):
        raise ValueError('no finite loss among the scalars of pre-training: look at its log')
    charts: dict[str, bytes] = {}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=SIZE)
        axes.plot(*series(rows, 'loss'), color=RUN_COLOURS[1])
        axes.set(title='Loss, all terms', xlabel='iteration')
        charts[
            'Pre-training loss, the weighted sum of all terms. It usually rises at first, while real keys fill the '
            'queues.'
        ] = png(figure)
        for kind, what in (('loss', 'Loss'), ('acc', 'Contrast accuracy (%)')):
            for pair in PAIRS:
                if not any(_has(rows, f'{kind}_{pair}_{stage}') for stage in STAGES):
                    continue
                figure, axes = plt.subplots(figsize=SIZE)
                _by_stage(axes, rows, kind, pair)
                axes.set_title(f'{what}, {PAIR_NAMES[pair]}')
                charts[
                    f'{what}, {PAIR_NAMES[pair]} ({pair}), by stage'
                    + ('; weighted as in the sum.' if kind == 'loss' else '; running mean of ten logged batches.')
                ] = png(figure)
    return charts | probe_curves(all_rows)


def probe_curves(rows: Sequence[Row]) -> dict[str, bytes]:
    """Draw what detco_mm.Probe found, stage by stage: PNG bytes by caption, none where no probe was made."""
    titles = {
        'knn': ('Probe: nearest neighbours (%)', 'accuracy on labelled boxes, cross-validated'),
        'linear': ('Probe: linear model (%)', 'accuracy on labelled boxes, cross-validated'),
        'rank_global': ('Effective rank', "of each queue's newest keys, global views"),
    }
    charts: dict[str, bytes] = {}
    with plt.rc_context(STYLE):
        for kind, (title, what) in titles.items():
            found = {stage: series(rows, f'{PROBE}{kind}_{stage}') for stage in STAGES}
            if not any(steps for steps, _ in found.values()):
                continue
            figure, axes = plt.subplots(figsize=SIZE)
            percent = 1 if kind == 'rank_global' else 100
            for stage, (steps, values) in found.items():
                if steps:
                    axes.plot(steps, [percent * y for y in values], 'o-', color=STAGE_COLOURS[stage], label=stage)
            axes.set(title=title, xlabel='iteration')
            axes.legend(ncols=2)
            charts[f'{title}, {what}.'] = png(figure)
    return charts


def probe_picture(found: Mapping[str, Mapping[str, float]], steps: Sequence[int | None]) -> bytes:
    """Draw probes of several checkpoints, kNN and linear model beside each other.

    Args:
        found: accuracies ``knn_{stage}`` and ``linear_{stage}``, 0 to 1, by the name of the checkpoint, in order.
        steps: of each checkpoint; of the first, None is 0: what was started from. Where they go up they are the axis,
            and otherwise the names are.

    Returns:
        PNG bytes.
    """
    known = [step for step in (steps[0] or 0, *steps[1:]) if step is not None]
    is_course = len(known) == len(steps) > 1 and all(a < b for a, b in itertools.pairwise(known))
    at = known if is_course else list(range(len(steps)))
    with plt.rc_context(STYLE):
        height = SIZE[1] if is_course else 1.1 + 0.3 * len(steps)
        figure, panels = plt.subplots(1, 2, figsize=(2 * SIZE[0], height), sharex=not is_course, sharey=True)
        titles = {'knn': 'Nearest neighbours', 'linear': 'Linear model'}
        for axes, (kind, title) in zip(panels, titles.items(), strict=True):
            for stage in STAGES:
                values = [100 * one[f'{kind}_{stage}'] for one in found.values()]
                line, marker = ((at, values), 'o-') if is_course else ((values, at), 'o')
                axes.plot(*line, marker, color=STAGE_COLOURS[stage], label=stage)
            axes.set(title=f'{title}: accuracy on boxes, %', xlabel='iteration' if is_course else None)
        if not is_course:
            panels[0].set_yticks(at, list(found))
            panels[0].set_ylim(len(at) - 0.5, -0.5)
        panels[-1].legend(bbox_to_anchor=(1, 1), loc='upper left')
        figure.tight_layout()
        return png(figure)


def finetuning_curves(runs: Mapping[str, Sequence[Row]]) -> dict[str, bytes]:
    """Draw the detection losses of several runs into the same axes.

    Args:
        runs: rows of ``scalars.json`` by the name of the run.

    Returns:
        PNG bytes by caption: the total loss, then box and mask loss and the learning rate where logged.
    """
    charts: dict[str, bytes] = {}
    kept = {name: training_rows(rows) for name, rows in runs.items()}
    names = {
        'loss': 'Loss, all terms',
        'loss_bbox': 'Box regression loss',
        'loss_mask': 'Mask loss',
        'lr': 'Learning rate',
    }
    with plt.rc_context(STYLE):
        for key, title in names.items():
            if not any(_has(rows, key) for rows in kept.values()):
                continue
            figure, axes = plt.subplots(figsize=SIZE)
            for (name, rows), colour in zip(kept.items(), RUN_COLOURS, strict=False):
                axes.plot(*series(rows, key), color=colour, label=name)
            axes.set(title=title, xlabel='iteration')
            axes.set_ylim(bottom=0)
            axes.legend()
            charts[f'Fine-tuning: {title.lower()}.'] = png(figure)
    return charts


def evaluation_curves(runs: Mapping[str, Sequence[Row]]) -> dict[str, bytes]:
    """Draw the evaluations of several runs over their course.

    Args:
        runs: rows of ``scalars.json`` by the name of the run.

    Returns:
        PNG bytes by caption: a chart for each metric that some run has; of COCO's, box and mask AP alone.
    """
    found = {name: evaluations(rows) for name, rows in runs.items()}
    every = dict.fromkeys(key for run in found.values() for metrics in run.values() for key in metrics)
    charts: dict[str, bytes] = {}
    with plt.rc_context(STYLE):
        for key in every:
            if key in COCO and not key.endswith('_mAP'):
                continue
            figure, axes = plt.subplots(figsize=SIZE)
            for (name, run), colour in zip(found.items(), RUN_COLOURS, strict=False):
                points = [(int(at.split()[1]), metrics[key]) for at, metrics in run.items() if key in metrics]
                percent = 100 if key in COCO else 1
                axes.plot([x for x, _ in points], [percent * y for _, y in points], 'o-', color=colour, label=name)
            title = COCO.get(key, key)
            axes.set(title=title, xlabel=next(at.split()[0] for run in found.values() for at in run))
            axes.set_ylim(0, 1.1 * axes.dataLim.ymax or 1)  # room for the marker of a run with one evaluation
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()
            charts[f'Evaluation: {title}.'] = png(figure)
    return charts
