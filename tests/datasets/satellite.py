"""A small labelled set of four bands of 16 bits, whose values use a part of the range alone."""

import json

import numpy as np
import tifffile

HIGHEST = (900, 1900, 2900, 3900)


def four_bands(folder, count=8, size=64):
    """Write scenes with a bright square each, as TIFF files with their boxes and masks; return the json's path."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        values = rng.integers(100, 500, (size, size, 4)).astype(np.uint16)
        left, top = rng.integers(4, size - 28, 2).tolist()
        values[top : top + 24, left : left + 24] = HIGHEST
        name = f'{number:02d}.tif'
        tifffile.imwrite(folder / name, values, photometric='rgb', extrasamples=['unspecified'])
        images.append(dict(id=number, file_name=name, width=size, height=size))
        outline = [left, top, left + 24, top, left + 24, top + 24, left, top + 24]
        annotations.append(
            dict(
                id=number + 1,
                image_id=number,
                category_id=1,
                bbox=[left, top, 24, 24],
                area=576,
                iscrowd=0,
                segmentation=[outline],
            )
        )
    labels = folder.parent / 'labels.json'
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='square')])
    labels.write_text(json.dumps(content))
    return labels
