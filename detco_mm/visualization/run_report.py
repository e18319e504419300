"""The page of a run: ``report.html`` in its work directory, for any pre-training and any fine-tuning."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.finding import newest_intact_checkpoint
from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.datasets.coco_labels import usable_labels
from detco_mm.transforms.pixels import Pixels
from detco_mm.version import versions
from detco_mm.visualization.curves import pretraining_curves
from detco_mm.visualization.figures import smaller
from detco_mm.visualization.parts import (
    detections_section,
    drawn_from,
    finetuning_sections,
    similarity_sections,
    views_section,
)
from detco_mm.visualization.report import Section, html_page
from detco_mm.visualization.scalars import SHOWN, Row, read_notes, read_rows, spread, training_rows
from detco_mm.weights import load_backbone

#: Annotated images in which a detector is shown.
DETECTIONS = 4
#: Longer side of what backbones see for similarity maps, in pixels: their vectors are most of the page's bytes.
SIDE = 160


def write_report(work_dir: str | Path) -> Path:
    """Write the page of a run, be it finished, interrupted or still going.

    Views, similarity maps and detections are drawn from a few of its images, which the page then holds. What cannot be
    drawn is left out, and the page says why.

    Args:
        work_dir: of a pre-training or a fine-tuning run.

    Returns:
        The path of ``report.html`` in it.

    Raises:
        ValueError: if it is not the work directory of a run.
    """
    folder = Path(work_dir)
    rows = read_rows(folder, newest_only=False)
    file = _config_file(folder)
    if not rows and file is None:
        raise ValueError(
            f'"{work_dir}" is no run: it holds no */vis_data/scalars.json and no config; give a work directory'
        )
    path = folder / 'report.html'
    with drawn_from(0):
        write_atomically(path, _page(folder, rows, file))
    return path


def _page(folder: Path, rows: Sequence[Row], file: Path | None) -> str:
    cfg = Config.fromfile(file) if file else Config()
    notes, absent = read_notes(folder), {}
    sections: list[Section] = []

    def add(what: str, draw: Callable[[], Sequence[Section]], photographs: bool = False) -> None:
        try:
            found = draw()
        except Exception as error:  # one part that cannot be drawn, whatever it runs into, is no reason for no page
            absent[what] = ' '.join(str(error).split()) or type(error).__name__
            return
        for section in found:
            small = {caption: smaller(image, photographs) for caption, image in section.pictures.items()}
            sections.append(dataclasses.replace(section, pictures=small))

    checkpoint: Path | None = None
    try:
        checkpoint = newest_intact_checkpoint(folder)
        missing = 'the run has left no checkpoint yet'
    except ValueError as error:
        missing = str(error)
    pipeline = _dataset(cfg, 'train').get('pipeline') or ()
    is_pretraining = any(str(step.get('type')).endswith('DetCoViews') for step in pipeline)

    def needs_checkpoint() -> Path:
        if checkpoint is None:
            raise ValueError(missing)
        return checkpoint

    if is_pretraining:
        add('Curves', lambda: [Section('Loss and accuracy', pictures=pretraining_curves(_logged(rows)))])
        images = _images(cfg, notes)
        add('Views', lambda: [views_section(pipeline, _shown(images()), None)], True)
        add('Similarity', lambda: _similarity(cfg, needs_checkpoint(), images()), True)
    else:
        add('Curves', lambda: _finetuning(folder.name, _logged(rows)))
        add('Detections', lambda: _detections(cfg, file, needs_checkpoint()), True)
    if absent:
        sections.append(Section('Left out', tables=[[['part', 'why'], *map(list, absent.items())]]))
    run = [['what', 'value'], *_facts(folder, cfg, notes, rows, checkpoint)]
    sections.append(Section('With', tables=[[['package', 'version'], *map(list, versions().items())]]))
    title = f'{"Pre-training" if is_pretraining else "Training"} in {folder}'
    return html_page(title, [Section(title, tables=[run]), *sections])


def _config_file(folder: Path) -> Path | None:
    """The config that the run left behind: in the work directory itself the last one, with what was measured."""
    own = sorted(folder.glob('*.py'), key=lambda path: path.stat().st_mtime)
    found = own or sorted(folder.glob('*/vis_data/config.py'))
    return found[-1] if found else None


def _dataset(cfg: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    """The innermost data set of a loader's config."""
    found = (cfg.get(f'{part}_dataloader') or {}).get('dataset') or {}
    while isinstance(found.get('dataset'), Mapping):
        found = found['dataset']
    return found


def _logged(rows: Sequence[Row]) -> Sequence[Row]:
    if not training_rows(rows):
        raise ValueError('no step has been logged yet')
    return rows


def _images(cfg: Config, notes: Mapping[str, Any]) -> Callable[[], list[str]]:
    """Find some of the training images: those that the run has noted, or else by listing them as it did."""
    found: list[str] = list(notes.get('shown') or ())

    def images() -> list[str]:
        if not found:
            with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmselfsup')):
                data = DATASETS.build(dict(_dataset(cfg, 'train'), pipeline=[]))
            data.full_init()
            found.extend(data.get_data_info(at)['img_path'] for at in spread(SHOWN, len(data)))
        return found

    return images


def _shown(images: Sequence[str]) -> dict[str, str]:
    return {Path(path).name: path for path in images[:SHOWN]}


def _similarity(cfg: Config, checkpoint: Path, images: Sequence[str]) -> list[Section]:
    """Compare what the run began with and what it has come to, on one image."""
    known = dict(
        (load_checkpoint(checkpoint).get('meta') or {}).get('pixels') or cfg.model.get('data_preprocessor') or {}
    )
    if 'mean' not in known or 'std' not in known:
        raise ValueError('neither the checkpoint nor the config says how images are normalised')
    pixels = Pixels(**{key: known[key] for key in ('channels', 'bands', 'value_range', 'nodata') if key in known})
    mean, std = known['mean'], known['std']
    start = cfg.model.get('start_from')
    start = start.get('checkpoint') if isinstance(start, Mapping) else start
    models = {
        'start' if start else 'random': (load_backbone(cfg.model.backbone, start), pixels, mean, std),
        checkpoint.stem: (load_backbone(cfg.model.backbone, checkpoint), pixels, mean, std),
    }
    clickable, _ = similarity_sections(models, images[0], images[0], (0.5, 0.5), SIDE)
    text = 'What in the image a place of it resembles, to the backbone as it started and to the newest checkpoint.'
    return [dataclasses.replace(clickable, paragraphs=[text, *clickable.paragraphs])]


def _finetuning(name: str, rows: Sequence[Row]) -> list[Section]:
    curves, *tables = finetuning_sections({name: rows})
    return [curves, *(dataclasses.replace(table, title='Evaluations') for table in tables)]


def _detections(cfg: Config, file: Path | None, checkpoint: Path) -> list[Section]:
    data = _dataset(cfg, 'val')
    evaluators = cfg.get('val_evaluator') or {}
    evaluator = evaluators[0] if isinstance(evaluators, list | tuple) else evaluators
    if not data or not str(evaluator.get('type')).endswith('CocoMetric'):
        raise ValueError('the run has no validation set with boxes in COCO format')
    root = str(data.get('data_root') or '')
    labels = Path(evaluator.get('ann_file') or Path(root, data['ann_file']))
    images = Path(root, (data.get('data_prefix') or {}).get('img', ''))
    usable_labels(labels, images, objects=False)  # which says what is wrong with them before a model is built
    return [detections_section(labels, images, {'found': (str(file), checkpoint)}, DETECTIONS)]


def _facts(
    folder: Path, cfg: Config, notes: Mapping[str, Any], rows: Sequence[Row], checkpoint: Path | None
) -> list[list[str]]:
    """What the page says first of a run."""
    trained = training_rows(rows)
    done, total = int(trained[-1]['step']) if trained else 0, notes.get('steps')
    stopped = folder / 'stopped_by_signal'
    state = 'finished' if notes.get('finished') else 'still going, or interrupted'
    if stopped.is_file() and not notes.get('finished'):
        state = f'stopped by {stopped.read_text().split()[0]}'
    if not notes.get('finished'):
        state += f'; {done:,} steps{f" of {total:,}" if total else ""} are logged'
    facts = [['state', state]]
    facts += [[str(name), str(value)] for name, value in notes.get('overview') or () if name != 'into']
    if not notes.get('overview') and cfg.get('model'):
        facts.append(['training', str(cfg.model.get('type'))])
    if trained and math.isfinite(trained[-1]['loss']):
        facts.append(['last loss', f'{trained[-1]["loss"]:.4g} at step {done:,}'])
    times = [row['time'] for row in trained if row.get('time')]
    if times:
        took = statistics.median(times)
        batch = notes.get('batch')
        facts.append(['speed', f'{took:.3g} s a step' + (f', {batch / took:,.4g} images a second' if batch else '')])
    facts.append(['newest checkpoint', checkpoint.name if checkpoint else 'none'])
    return facts
