"""What frozen features know: kNN and linear accuracy on the annotated objects of a COCO-format set."""

from collections.abc import Iterable, Iterator, Sequence
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
from detco_mm.registry import STAGES
from detco_mm.transforms.crops import resized_crop
from detco_mm.transforms.loading import read_image
from detco_mm.transforms.pixels import Pixels

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
    crops, labels = [], []
    for path, objects in labelled_objects(annotations, images, smallest).items():
        image = read_image(path, pixels)
        height, width = image.shape[:2]
        for found in objects:
            left, top, box_width, box_height = found['bbox']
            side = min(round(context * max(box_width, box_height)), height, width)
            # a square around the middle of the box, moved into the image where it sticks out
            y = min(max(round(top + box_height / 2 - side / 2), 0), height - side)
            x = min(max(round(left + box_width / 2 - side / 2), 0), width - side)
            crops.append(resized_crop(image, (y, x, side, side), size))
            labels.append(found['category_id'])
    return np.stack(crops), np.array(labels)


def labelled_objects(annotations: str | Path, images: str | Path, smallest: int = 8) -> dict[Path, list[dict]]:
    """Find the annotations of objects by the image that they are on, without reading it.

    Args and errors as for :func:`object_crops`.
    """
    content = usable_labels(annotations, images, objects=False, categories=False).content
    names = {image['id']: image['file_name'] for image in content['images']}
    found: dict[Path, list[dict]] = {}
    for each in content['annotations']:
        if not each.get('iscrowd') and max(each['bbox'][2:]) >= smallest:
            found.setdefault(Path(images, names[each['image_id']]), []).append(each)
    if not found:
        raise ValueError(f'{annotations}: no object of at least {smallest} pixels is annotated')
    return found


def object_images(annotations: str | Path, images: str | Path) -> list[str]:
    """List the images of a COCO-format set, by the names that they have on the disk.

    Raises:
        FileNotFoundError: if there are no annotations, or no such folder.
        ValueError: if the annotations are no COCO-format JSON.
    """
    labels = check_coco(annotations, images, objects=False, categories=False)
    return [str(Path(images, image['file_name'])) for id_, image in labels.images.items() if id_ not in labels.lost]


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
    parts = [images[start : start + batch] for start in range(0, len(images), batch)]
    pooled = [[found.mean((2, 3)) for found in maps] for maps in stage_maps(backbone, parts, mean, std)]
    return by_stage(pooled)


@torch.no_grad()
def stage_maps(
    backbone: nn.Module, batches: Iterable[NDArray[np.uint8]], mean: Sequence[float], std: Sequence[float]
) -> Iterator[Sequence[Tensor]]:
    """Yield the maps of res2..res5 for each batch of images, in the mode that a backbone is in.

    Args and shapes as for :func:`stage_features`.
    """
    device = next(backbone.parameters()).device
    centre, scale = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (mean, std))
    for images in batches:
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
        yield backbone.forward((pixels - centre) / scale)  # not __call__, which may be compiled


def by_stage(pooled: Iterable[Sequence[Tensor]]) -> dict[str, NDArray[np.float32]]:
    """Join what was pooled of the four maps of each batch, each (M, C), by the name of the stage."""
    columns = zip(STAGES, zip(*pooled, strict=True), strict=True)
    return {name: torch.cat([part.cpu() for part in parts]).numpy() for name, parts in columns}


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
