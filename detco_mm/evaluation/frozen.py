"""What frozen features know: kNN and linear accuracy on the annotated objects of a COCO-format set."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from detco_mm.datasets.coco_labels import check_coco, usable_labels
from detco_mm.transforms.crops import resized_crop
from detco_mm.transforms.loading import read_image
from detco_mm.transforms.pixels import Pixels
from detco_mm.visualization.figures import STAGES

# Wu et al. (arXiv 1805.01978), section 3.4; MMSelfSup's kNN benchmark has the same among its choices.
NEIGHBOURS, TEMPERATURE = 20, 0.07


def object_crops(
    annotations: str | Path,
    images: str | Path,
    size: int,
    context: float = 1.2,
    smallest: int = 8,
    pixels: Pixels | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Cut every annotated object out of its image.

    Args:
        annotations: COCO-format JSON.
        images: folder that its file names are relative to.
        size: side of the crops, in pixels.
        context: side of the square that is cut, relative to the longer side of the object's box.
        smallest: objects whose longer side is shorter are left out, as are crowds, in pixels.
        pixels: how the files are read; by default 8-bit ones in three channels.

    Returns:
        (M, size, size, N), RGB for three channels, and (M,) category ids.

    Raises:
        FileNotFoundError: if there are no annotations, or no such folder.
        ValueError: if no object is left, or an image cannot be read; LabelError if the annotations cannot be used.
    """
    pixels = pixels or Pixels()
    content = usable_labels(annotations, images, objects=False, categories=False).content
    names = {image['id']: image['file_name'] for image in content['images']}
    crops, labels = [], []
    for image_id, objects in _by_image(content['annotations']):
        image = read_image(Path(images, names[image_id]), pixels)
        height, width = image.shape[:2]
        for found in objects:
            left, top, box_width, box_height = found['bbox']
            if found.get('iscrowd') or max(box_width, box_height) < smallest:
                continue
            side = min(round(context * max(box_width, box_height)), height, width)
            # a square around the middle of the box, moved into the image where it sticks out
            y = min(max(round(top + box_height / 2 - side / 2), 0), height - side)
            x = min(max(round(left + box_width / 2 - side / 2), 0), width - side)
            crops.append(resized_crop(image, (y, x, side, side), size))
            labels.append(found['category_id'])
    if not crops:
        raise ValueError(f'{annotations}: no object of at least {smallest} pixels is annotated')
    return np.stack(crops), np.array(labels)


def object_images(annotations: str | Path, images: str | Path) -> list[str]:
    """List the images of a COCO-format set, by the names that they have on the disk.

    Raises:
        FileNotFoundError: if there are no annotations, or no such folder.
        ValueError: if the annotations are no COCO-format JSON.
    """
    labels = check_coco(annotations, images, objects=False, categories=False)
    return [str(Path(images, image['file_name'])) for id_, image in labels.images.items() if id_ not in labels.lost]


def _by_image(objects: Sequence[dict]) -> Iterator[tuple[int, list[dict]]]:
    grouped: dict[int, list[dict]] = {}
    for found in objects:
        grouped.setdefault(found['image_id'], []).append(found)
    yield from grouped.items()


@torch.no_grad()
def stage_features(
    backbone: nn.Module, images: NDArray[np.uint8], mean: Sequence[float], std: Sequence[float], batch: int = 64
) -> dict[str, NDArray[np.float32]]:
    """Pool the maps of every stage, with the backbone's running statistics.

    Args:
        backbone: maps (M, N, H, W) to the maps of res2..res5.
        images: (M, H, W, N) uint8, RGB for three channels.
        mean: of the channels, 0 to 255.
        std: of the channels.
        batch: images at a time.

    Returns:
        For each stage (M, C).
    """
    backbone.eval()
    device = next(backbone.parameters()).device
    pooled: list[list[Tensor]] = [[] for _ in STAGES]
    for start in range(0, len(images), batch):
        pixels = torch.from_numpy(images[start : start + batch]).to(device).permute(0, 3, 1, 2).float()
        pixels = (pixels - torch.tensor(mean, device=device).view(-1, 1, 1)) / torch.tensor(std, device=device).view(
            -1, 1, 1
        )
        for stage, stage_map in zip(pooled, backbone(pixels), strict=True):
            stage.append(stage_map.mean((2, 3)).cpu())
    return {name: torch.cat(parts).numpy() for name, parts in zip(STAGES, pooled, strict=True)}


def accuracies(
    train: NDArray[np.float32], train_labels: NDArray[np.int64], test: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, float]:
    """Classify test features from train features.

    Args:
        train: (N, C) features with a label.
        train_labels: (N,).
        test: (M, C).
        labels: (M,), the truth.

    Returns:
        ``knn`` and ``linear``: shares of test features classified rightly, 0 to 1.
    """
    knn = KNeighborsClassifier(
        min(NEIGHBOURS, len(train)), metric='cosine', weights=lambda distance: np.exp((1 - distance) / TEMPERATURE)
    )
    # More iterations than it takes; on standardised features one C serves all stages and initialisations.
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    return {
        name: float(model.fit(train, train_labels).score(test, labels))
        for name, model in (('knn', knn), ('linear', linear))
    }
