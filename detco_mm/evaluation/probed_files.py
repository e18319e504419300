"""What a probe finds in files: checkpoints of a run along its course, exported backbones, anybody's weights."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import MODELS

from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.engine.bn_statistics import batch_statistics
from detco_mm.engine.pixels import frozen_inputs
from detco_mm.evaluation.boxes import LabelledBoxes, probe, read_boxes
from detco_mm.evaluation.embeddings import NEWEST, key_spread
from detco_mm.evaluation.frozen import object_images
from detco_mm.models.key_queue import KeyQueue
from detco_mm.registry import STAGES
from detco_mm.weights import load_backbone

RANDOM = 'random'  # in the place of a file: a backbone as its initialisation draws it


@dataclass(frozen=True)
class Probed:
    """What was found in a file.

    Args:
        name: what tables call it.
        step: iterations that it has behind it; None where the file does not say.
        found: what :func:`detco_mm.evaluation.boxes.probe` returns, and of a queue rank and uniformity of the keys.
        data: what was looked at.
    """

    name: str
    step: int | None
    found: Mapping[str, float]
    data: LabelledBoxes


def probe_files(
    config: Config, files: Sequence[str], annotations: str | Path, images: str | Path, **reading: int
) -> Iterator[Probed]:
    """Probe backbones, one after the other, on the same boxes.

    Args:
        config: of a pre-training, for its backbone; the default scope must be set.
        files: that hold the backbone, or RANDOM.
        annotations: COCO-format JSON.
        images: folder that its file names are relative to.
        reading: size, max_boxes and folds of :func:`detco_mm.evaluation.boxes.read_boxes`.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if a file does not hold the backbone, or the labels are of no use.
    """
    paths = object_images(annotations, images)
    known: dict[str, LabelledBoxes] = {}
    for name, file in zip(_names(files), files, strict=True):
        path = None if file == RANDOM else file
        inputs = frozen_inputs(config, path, paths)
        pixels = str(inputs.pixels.settings())
        if pixels not in known:  # read once for all that see the same
            known[pixels] = read_boxes(annotations, images, pixels=inputs.pixels, **reading)
        torch.manual_seed(0)  # of RANDOM
        backbone = load_backbone(inputs.backbone, path).to(get_device())
        backbone.train()  # which returns None in MMClassification's
        with torch.no_grad(), batch_statistics(backbone):
            found = probe(backbone, known[pixels], inputs.mean, inputs.std)
        checkpoint = load_checkpoint(path) if path else {}
        meta = checkpoint.get('meta')
        step = meta.get('iter') if isinstance(meta, Mapping) else None
        spread = _spread(config, checkpoint, step or 0)
        yield Probed(name, 0 if path is None else step, {**found, **spread}, known[pixels])


def _spread(config: Config, checkpoint: Mapping[str, Any], step: int) -> dict[str, float]:
    """Measure the keys that a run on one device has put into its queue; none if the file has no queue."""
    keys, pointer = ((checkpoint.get('state_dict') or {}).get(f'queue.{name}') for name in ('keys', 'pointer'))
    count = min(NEWEST, step * config.train_dataloader.batch_size)
    if keys is None or pointer is None or count < 2:
        return {}
    queue = KeyQueue(*keys.shape)
    queue.keys, queue.pointer = keys, pointer
    head: Any = MODELS.build(config.model.head)
    rows = [f'{scope}_{stage}' for scope in head.key_scopes for stage in head.stages]
    if len(rows) != len(keys):  # the run had another head than the config, which names the stages
        rows = [f'row{at}' for at in range(len(keys))]
    return key_spread(rows, queue.newest(count))


def _names(files: Sequence[str]) -> list[str]:
    """Name files by as much of their paths as it takes to tell them apart."""
    for depth in range(1, 1 + max(len(Path(file).parts) for file in files)):
        names = ['/'.join(Path(file).with_suffix('').parts[-depth:]) for file in files]
        if len(set(names)) == len(names):
            return names
    return list(files)


def table(probed: Sequence[Probed]) -> list[list[str]]:
    """Write accuracies in percent, a row for each file, for a page or a terminal."""
    kinds = ('knn', 'linear')
    header = ['', 'step', *(f'{kind} {stage}' for kind in kinds for stage in STAGES), 'mean']
    keys = [*(f'{kind}_{stage}' for kind in kinds for stage in STAGES), 'mean']
    steps = ['-' if one.step is None else str(one.step) for one in probed]
    return [header] + [
        [one.name, step, *(f'{100 * one.found[key]:.1f}' for key in keys)]
        for one, step in zip(probed, steps, strict=True)
    ]


def as_csv(probed: Sequence[Probed]) -> str:
    """Write everything as CSV, a row for each file: shares from 0 to 1, rank, uniformity, and the number of boxes."""
    columns = dict.fromkeys(key for one in probed for key in one.found)
    out = io.StringIO()
    writer = csv.DictWriter(out, ['checkpoint', 'step', *columns, 'boxes', 'chance'], lineterminator='\n')
    writer.writeheader()
    for one in probed:
        values = {key: f'{value:.6g}' for key, value in one.found.items()}
        size = dict(boxes=len(one.data.labels), chance=f'{one.data.chance:.6g}')
        writer.writerow(dict(checkpoint=one.name, step=one.step, **values, **size))
    return out.getvalue()
