"""Parts of the pages about runs: the demo's page, a run's own and those of the tools are made of them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from torch import nn

from detco_mm.registry import TRANSFORMS
from detco_mm.transforms.loading import read_image
from detco_mm.transforms.pixels import Pixels
from detco_mm.visualization.curves import evaluation_curves, finetuning_curves
from detco_mm.visualization.detections import detections_picture
from detco_mm.visualization.figures import RUN_COLOURS
from detco_mm.visualization.inference import annotated_images, detect
from detco_mm.visualization.pictures import visible
from detco_mm.visualization.report import Section, Table, evaluation_table, html_page
from detco_mm.visualization.scalars import Row, evaluations, read_rows
from detco_mm.visualization.similarity import similarity_picture, stage_maps
from detco_mm.visualization.similarity_widget import similarity_widget
from detco_mm.visualization.views import augmentation_picture

#: A backbone that returns four maps; how its files are read; mean and std of its channels, 0 to 255.
Frozen = tuple[nn.Module, Pixels, Sequence[float], Sequence[float]]


def checkpoint_names(checkpoints: Sequence[str]) -> list[str]:
    """Name checkpoints in pictures: by run and file, and by number where two of them are called the same."""
    names = ['random' if path == 'random' else '/'.join(Path(path).with_suffix('').parts[-2:]) for path in checkpoints]
    return [f'{name} ({at + 1})' if names.count(name) > 1 else name for at, name in enumerate(names)]


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Draw random numbers from a seed, and go on afterwards where all generators were."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def views_section(pipeline: Sequence[Mapping[str, Any]], images: Mapping[str, str], pixels: Pixels | None) -> Section:
    """Show where the four views of each image are cut, before and after augmentation.

    Args:
        pipeline: of a pre-training, from a path to a packed item.
        images: path by caption.
        pixels: how files are read; None for as the pipeline says.

    Raises:
        ValueError: if the pipeline has no DetCoViews, or an image cannot be decoded.
    """
    steps = [dict(step) for step in pipeline or [{}]]
    if not str(steps[0].get('type')).endswith('DetCoViews'):
        raise ValueError('the pipeline has no detco_mm.DetCoViews: give a pre-training config')
    if pixels is not None:
        steps[0]['pixels'] = pixels.settings()
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        draw, cut, *_ = [TRANSFORMS.build(step) for step in steps]
    pictures = {}
    for caption, path in images.items():
        image = visible(read_image(path, draw.pixels))
        results = draw({'img_path': path})
        if results is None:
            raise ValueError(f'"{path}" cannot be decoded')
        shown = [visible(view) for view in results['views']]
        patches = [np.stack([visible(patch) for patch in view]) for view in cut(results)['views'][2:]]
        pictures[caption] = augmentation_picture(image, results['view_boxes'], shown, patches, cut.grid)
    return Section('Views', ['Boxes show where each view was cut.'], pictures=pictures, wide=True)


def similarity_sections(
    models: Mapping[str, Frozen], one: str, other: str, point: tuple[float, float], side: int = 320
) -> list[Section]:
    """Show what in an image resembles a point of another at each stage: to click into, and as a picture.

    Args:
        models: backbones by name.
        one: path of the image with the point.
        other: path of the image that is compared.
        point: x and y as shares of width and height.
        side: longer side of what the backbones see, in pixels.
    """
    sides = {
        name: (
            stage_maps(backbone, read_image(one, pixels), mean, std, side),
            stage_maps(backbone, read_image(other, pixels), mean, std, side),
        )
        for name, (backbone, pixels, mean, std) in models.items()
    }
    caption = f'Cosine similarity of the point in {one} with all points of {other}.'
    text = 'Click into the image to choose another point. Each map spans the range that is written below it.'
    return [
        Section('Similarity', [text], widget=similarity_widget(sides, point)),
        Section('Similarity at the given point', pictures={caption: similarity_picture(sides, point)}, wide=True),
    ]


def detections_section(
    ann_file: str | Path, folder: str | Path, detectors: Mapping[str, tuple[str | Path, str | Path]], images: int
) -> Section:
    """Show annotated images beside what detectors find in them.

    Args:
        ann_file: annotations in COCO's format.
        folder: where its images lie.
        detectors: configuration and checkpoint by the title of the column.
        images: how many, at most.
    """
    pictures, truth, classes = annotated_images(ann_file, folder, images)
    columns = {'ground truth': truth}
    for title, (config, weights) in detectors.items():
        # A short training gives low scores: a threshold would leave nothing to compare.
        found = detect(config, weights, pictures, get_device(), classes)
        columns[title] = [mine.best(len(theirs.boxes)) for mine, theirs in zip(found, truth, strict=True)]
    caption = 'The annotation, and as many of what each model finds, the highest scores first.'
    if len(detectors) == 1:
        caption = 'The annotation, and as many of what the model finds, the highest scores first.'
    return Section('Detections', pictures={caption: detections_picture(pictures, columns, classes)}, wide=True)


def finetuning_sections(runs: Mapping[str, Sequence[Row]]) -> list[Section]:
    """Show losses and evaluations of fine-tuning runs, in the same axes.

    Args:
        runs: rows of ``scalars.json`` by the name of the run, at most as many as there are colours.
    """
    return [
        Section('Fine-tuning', pictures=evaluation_curves(runs) | finetuning_curves(runs)),
        *(Section(name, tables=[table]) for name, table in evaluation_tables(runs).items()),
    ]


def evaluation_tables(runs: Mapping[str, Sequence[Row]]) -> dict[str, Table]:
    """Write every evaluation of each run that has one; arguments as for :func:`finetuning_sections`."""
    return {name: evaluation_table(found, 'after') for name, rows in runs.items() if (found := evaluations(rows))}


def finetuning_page(work_dirs: Sequence[str | Path]) -> tuple[str, dict[str, Table]]:
    """Write a page that compares fine-tuning runs.

    Returns:
        HTML, and the tables that it holds by the name of the run.

    Raises:
        ValueError: if there are more runs than colours, or one of them has logged nothing.
    """
    if len(work_dirs) > len(RUN_COLOURS):
        raise ValueError(f'{len(work_dirs)} runs: at most {len(RUN_COLOURS)} can be told apart in one picture')
    runs = {str(Path(run)): logged_rows(run) for run in work_dirs}
    return html_page('Fine-tuning', finetuning_sections(runs)), evaluation_tables(runs)


def logged_rows(work_dir: str | Path) -> list[Row]:
    """Read all scalars of a run, over all its resumptions.

    Raises:
        ValueError: if there are none.
    """
    rows = read_rows(work_dir, newest_only=False)
    if not rows:
        raise ValueError(
            f'nothing was logged in "{work_dir}": it holds no */vis_data/scalars.json; give a work directory'
        )
    return rows
