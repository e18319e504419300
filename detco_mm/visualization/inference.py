"""Images, their annotations, and what a detector finds in them, ready to be drawn."""

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from detco_mm.checkpoints.reading import safe_loading
from detco_mm.datasets.coco_labels import usable_labels
from detco_mm.datasets.text import read_json
from detco_mm.transforms.loading import read_image
from detco_mm.transforms.pixels import Pixels
from detco_mm.visualization.detections import Objects
from detco_mm.visualization.pictures import Array


def category_names(ann_file: str | Path) -> dict[int, str]:
    """Read the names of the categories of a COCO-format set, by their id."""
    return {category['id']: category['name'] for category in read_json(ann_file, dict)['categories']}


def annotated_images(
    ann_file: str | Path, folder: str | Path, count: int
) -> tuple[list[Array], list[Objects], list[str]]:
    """Read the first images of a COCO-format set with what they hold.

    Args:
        ann_file: annotations in COCO's format.
        folder: where its images lie.
        count: how many images; fewer where the set is smaller.

    Returns:
        Images, their objects, and the names of the classes in the order of the labels.
    """
    from pycocotools.coco import COCO  # comes with the extra `det`

    with contextlib.redirect_stdout(io.StringIO()):  # it reports its loading times
        coco = COCO()
        coco.dataset = usable_labels(ann_file, folder, objects=False).content
        coco.createIndex()
    categories = sorted(coco.getCatIds())
    outlined = all(one.get('segmentation') for one in coco.dataset['annotations'])
    images, objects = [], []
    for image_id in sorted(coco.getImgIds())[:count]:
        image = read_image(Path(folder) / coco.loadImgs([image_id])[0]['file_name'], Pixels())
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image_id], iscrowd=False))
        corners = [(x, y, x + w, y + h) for x, y, w, h in (one['bbox'] for one in found)]
        masks = [coco.annToMask(one).astype(bool) for one in found] if outlined else []
        images.append(image)
        objects.append(
            Objects(
                boxes=np.array(corners, dtype=float).reshape(-1, 4),
                labels=np.array([categories.index(one['category_id']) for one in found], dtype=int),
                masks=(np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), bool)) if outlined else None,
            )
        )
    return images, objects, [one['name'] for one in coco.loadCats(categories)]


def detect(
    config: str | Path,
    checkpoint: str | Path,
    images: Sequence[Array],
    device: str = 'cpu',
    classes: Sequence[str] | None = None,
) -> list[Objects]:
    """Run an MMDetection model on images.

    Args:
        config: its configuration, such as the one that training wrote into the work directory.
        checkpoint: its weights.
        images: uint8 RGB (H, W, 3).
        device: where to run it.
        classes: names in whose order labels are returned, -1 for a class that is not among them; None for the model's.

    Returns:
        What was found in each image, with all scores.
    """
    from mmdet.apis import inference_detector, init_detector  # comes with the extra `det`

    with safe_loading():
        model = init_detector(str(config), str(checkpoint), device=device, palette='random')
    own = list(model.dataset_meta.get('classes') or ())
    order = np.array([classes.index(name) if name in classes else -1 for name in own], int) if classes and own else None
    results = []
    for image in images:
        found = inference_detector(model, np.ascontiguousarray(image[..., ::-1])).pred_instances.cpu().numpy()
        masks = found.masks.astype(bool) if 'masks' in found else None
        labels = found.labels if order is None else order[found.labels]
        results.append(Objects(found.bboxes, labels, masks, found.scores))
    return results
