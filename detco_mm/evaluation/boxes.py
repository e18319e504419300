"""Is it learning? kNN and linear accuracy of features that are pooled within labelled boxes, cross-validated."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn
from torchvision.ops import roi_align

from detco_mm.evaluation.frozen import accuracies, by_stage, labelled_objects, stage_maps
from detco_mm.transforms.crops import resized_crop
from detco_mm.transforms.loading import read_image
from detco_mm.transforms.pixels import Pixels

#: Sides of the images, in pixels: at stride 32 a map of 7 x 7.
SIZE = 224
#: Boxes of a probe. The standard error of a share of p of them is sqrt(p (1 - p) / 500), at most 2.2 points.
MAX_BOXES = 500
FOLDS = 5


@dataclass(frozen=True)
class LabelledBoxes:
    """Images in memory, and the boxes on them.

    Args:
        images: (M, size, size, N) uint8, RGB for three channels; each image whole, at another aspect ratio.
        boxes: (B, 4) left, top, right, bottom, in the pixels of these images.
        places: (B,) the image that each is on.
        labels: (B,) category ids.
        folds: of the cross-validation.
        left_out: boxes of categories on too few images.
    """

    images: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    places: NDArray[np.int64]
    labels: NDArray[np.int64]
    folds: int
    left_out: int = 0

    @property
    def chance(self) -> float:
        """The accuracy of always naming the most frequent category."""
        return float(np.unique(self.labels, return_counts=True)[1].max() / len(self.labels))

    def describe(self) -> str:
        """Say in words what is looked at."""
        classes = len(np.unique(self.labels))
        less = f' ({self.left_out} left out, of classes on fewer than {self.folds} images)' if self.left_out else ''
        return (
            f'{len(self.labels)} boxes of {classes} classes on {len(self.images)} images{less}, BN by the statistics '
            f'of each batch, {self.folds} folds by image; the most frequent class is {100 * self.chance:.1f} %'
        )


def read_boxes(
    annotations: str | Path,
    images: str | Path,
    size: int = SIZE,
    max_boxes: int = MAX_BOXES,
    folds: int = FOLDS,
    pixels: Pixels | None = None,
) -> LabelledBoxes:
    """Read boxes with their labels, and the images that they are on.

    Args:
        annotations: COCO-format JSON, checked and, in memory, fixed as labels of a training are.
        images: folder that its file names are relative to.
        size: sides that the images are resized to, in pixels.
        max_boxes: of more, those on images drawn at random, always the same.
        folds: of the cross-validation; a category has to be on as many images.
        pixels: how the files are read; by default 8-bit ones in three channels.

    Raises:
        FileNotFoundError: if there are no annotations, or no such folder.
        ValueError: if a number is too small, if fewer than two categories are on as many images as there are folds, or
            an image cannot be read; LabelError if the annotations cannot be used.
    """
    for name, value, least in (('size', size, 32), ('max_boxes', max_boxes, 2), ('folds', folds, 2)):
        if value < least:
            raise ValueError(f'{name}={value} of a probe: it is at least {least}')
    found = labelled_objects(annotations, images)
    paths = list(found)
    drawn: dict[Path, list[dict]] = {}
    for at in np.random.default_rng(0).permutation(len(paths)):
        objects = found[paths[at]]
        if sum(map(len, drawn.values())) + len(objects) <= max_boxes:
            drawn[paths[at]] = objects
    seen_on: dict[int, set[Path]] = {}
    for path, objects in drawn.items():
        for each in objects:
            seen_on.setdefault(each['category_id'], set()).add(path)
    usable = {category for category, on in seen_on.items() if len(on) >= folds}
    if len(usable) < 2:
        most = ', '.join(f'{name}: {len(on)}' for name, on in sorted(seen_on.items(), key=lambda s: -len(s[1]))[:4])
        raise ValueError(
            f'"{annotations}": too few boxes for a probe of {folds} folds, which tells at least 2 classes apart and '
            f'needs each on {folds} images; images by category id are {most or "none"} (of at most max_boxes='
            f'{max_boxes} boxes): label more, or set folds=2'
        )
    kept = {
        path: of_use
        for path, objects in sorted(drawn.items())
        if (of_use := [each for each in objects if each['category_id'] in usable])
    }
    pictures, boxes, places, labels = [], [], [], []
    for place, (path, objects) in enumerate(kept.items()):
        image = read_image(path, pixels or Pixels())
        height, width = image.shape[:2]
        pictures.append(resized_crop(image, (0, 0, height, width), size))
        scale = np.array([size / width, size / height])
        for each in objects:
            corner, extent = np.array(each['bbox'][:2]) * scale, np.array(each['bbox'][2:]) * scale
            boxes.append([*corner, *(corner + extent)])
            places.append(place)
            labels.append(each['category_id'])
    left_out = sum(map(len, drawn.values())) - len(labels)
    return LabelledBoxes(
        np.stack(pictures), np.array(boxes, np.float32), np.array(places), np.array(labels), folds, left_out
    )


def box_features(
    backbone: nn.Module, data: LabelledBoxes, mean: Sequence[float], std: Sequence[float], batch: int = 32
) -> dict[str, NDArray[np.float32]]:
    """Average the maps of each stage within each box, in the mode that a backbone is in.

    Args:
        backbone: maps (M, N, H, W) to the maps of res2..res5.
        data: images and boxes.
        mean: of the channels, 0 to 255.
        std: of the channels.
        batch: images at a time, at most; all batches are of the same size, or one less.

    Returns:
        For each stage (B, C).

    Source: He et al., Mask R-CNN (arXiv 1703.06870), section 3: RoIAlign, here to one cell, as many points a side as
    the box has cells of the map.
    """
    parts = np.array_split(np.arange(len(data.images)), math.ceil(len(data.images) / batch))
    sides = data.images.shape[1]

    def pooled() -> Iterator[Sequence[Tensor]]:
        for part, maps in zip(parts, stage_maps(backbone, (data.images[p] for p in parts), mean, std), strict=True):
            on_these = (data.places >= part[0]) & (data.places <= part[-1])  # boxes are in the order of the images
            regions = np.c_[data.places[on_these] - part[0], data.boxes[on_these]].astype(np.float32)
            given = torch.from_numpy(regions)
            yield [
                roi_align(m.float(), given.to(m.device), 1, m.shape[-1] / sides, -1, aligned=True).flatten(1)
                for m in maps
            ]

    return by_stage(pooled())


def cross_validated(features: NDArray[np.float32], data: LabelledBoxes) -> dict[str, float]:
    """Classify each box from the boxes on the images of the other folds.

    Args:
        features: (B, C).
        data: the boxes.

    Returns:
        ``knn`` and ``linear``: shares of the boxes that were classified rightly, 0 to 1.
    """
    split = StratifiedGroupKFold(data.folds, shuffle=True, random_state=0)
    right: dict[str, float] = {}
    for train, test in split.split(features, data.labels, data.places):
        scores = accuracies(features[train], data.labels[train], features[test], data.labels[test])
        for name, score in scores.items():
            right[name] = right.get(name, 0.0) + score * len(test)
    return {name: count / len(data.labels) for name, count in right.items()}


def probe(backbone: nn.Module, data: LabelledBoxes, mean: Sequence[float], std: Sequence[float]) -> dict[str, float]:
    """Tell how well the classes of boxes can be read from the stages of a backbone.

    Args and mode as for :func:`box_features`.

    Returns:
        ``knn_{stage}`` and ``linear_{stage}``, as :func:`cross_validated` has them, and ``mean``, their mean.
    """
    found = {
        f'{name}_{stage}': score
        for stage, features in box_features(backbone, data, mean, std).items()
        for name, score in cross_validated(features, data).items()
    }
    ordered = dict(sorted(found.items(), key=lambda item: item[0].split('_')[0]))
    return ordered | {'mean': sum(found.values()) / len(found)}
