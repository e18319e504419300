"""A small COCO-format set, and what people's tools make of it."""

import copy
import json

import numpy as np
from PIL import Image

CLASSES = ('fish', 'big shark', 'ray')
NAMES = [f'tank_{at}.jpg' for at in range(6)]
SIZE = 120, 90


def content(count=6):
    """`count` images with two objects each; the last has none."""
    images = [dict(id=at + 1, file_name=NAMES[at], width=SIZE[0], height=SIZE[1]) for at in range(count)]
    objects = []
    for at in range(count - 1):
        for part in range(2):
            x, y, w, h = 10 + 50 * part, 12 + 3 * at, 30 + at, 25
            objects.append(
                dict(
                    id=len(objects) + 1,
                    image_id=at + 1,
                    category_id=(at + part) % 3 + 1,
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=0,
                    segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]],
                )
            )
    return dict(images=images, annotations=objects, categories=[dict(id=i + 1, name=n) for i, n in enumerate(CLASSES)])


def draw(folder, names=NAMES, size=SIZE):
    """Write the images below a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size[1], size[0], 3), 90, np.uint8)).save(path)
    return folder


def write(path, changed):
    """Write a json."""
    path.write_text(json.dumps(changed), encoding='utf-8')
    return path


def each(change, of='annotations'):
    """A content in which every entry of a list was changed; `change` gets the entry and its number."""
    changed = copy.deepcopy(content())
    for at, entry in enumerate(changed[of]):
        change(entry, at)
    return changed
