"""Width and height of images: those that labels state against those of the files."""

import os
from typing import Any

import tifffile
from PIL import Image

from detco_mm.datasets.coco_labels.findings import Labels

#: How many files are opened where all sizes are stated; if one is wrong, all are.
SAMPLE = 64
_ORIENTATION = 0x0112  # EXIF's tag
_QUARTER_TURNS = (5, 6, 7, 8)


def check_sizes(labels: Labels, folder: str | None, sample: int | None = SAMPLE) -> None:
    """Look at width and height, and take them from the files where they are missing.

    Args:
        labels: after the check of its files.
        folder: of the images; None to look at the labels alone.
        sample: how many files to open where all is stated, None for all.
    """
    unstated = [image for image in labels.images.values() if not _stated(image)]
    stated = [image for image in labels.images.values() if _stated(image) and image['id'] not in labels.lost]
    for image in unstated:
        image.pop('width', None)
        image.pop('height', None)
        if folder is None:
            labels.note('images without width and height', f'"{image.get("file_name")}"')
        if folder is None or image['id'] in labels.lost:
            continue
        size = _shown(os.path.join(folder, image['file_name']))
        if size is None:
            labels.lost.add(image['id'])
            labels.stop('images without width and height, whose file cannot be read', f'"{image["file_name"]}"')
            continue
        image['width'], image['height'] = size[0]
        labels.fixed('images without width and height, taken from the file', f'"{image["file_name"]}"')
    if folder is None:
        return
    step = 1 if sample is None else max(1, len(stated) // sample)
    if any(_differs(image, folder) for image in stated[::step]):
        _compare(labels, [image for image in stated if _differs(image, folder)], folder)


def _stated(image: dict) -> bool:
    return all(type(image.get(side)) is int and image[side] > 0 for side in ('width', 'height'))


def _shown(path: str) -> tuple[tuple[int, int], bool] | None:
    """Width and height as MMDetection loads an image, and whether EXIF turns it by 90 degrees; None if unreadable."""
    try:
        with Image.open(path) as image:
            turned = image.format in ('JPEG', 'PNG') and image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
            return (image.size[::-1] if turned else image.size), turned
    except Exception:  # Pillow raises what it likes for a damaged file; whether it is read is the pipeline's question
        pass
    if path.lower().endswith(('.tif', '.tiff')):
        try:
            with tifffile.TiffFile(path) as file:
                page: Any = file.pages.first
                return (page.imagewidth, page.imagelength), False
        except Exception:
            pass
    return None


def _differs(image: dict, folder: str) -> bool:
    size = _shown(os.path.join(folder, image['file_name']))
    return size is not None and size[0] != (image['width'], image['height'])


def _compare(labels: Labels, wrong: list[dict], folder: str) -> None:
    boxes: dict[int, list] = {image['id']: [] for image in wrong}
    for found in labels.objects:
        if found['image_id'] in boxes:
            boxes[found['image_id']].append(found.get('bbox'))
    for image in wrong:
        size = _shown(os.path.join(folder, image['file_name']))
        if size is None:
            continue
        (width, height), turned = size
        stated = image['width'], image['height']
        place = f'"{image["file_name"]}": {stated[0]}x{stated[1]} in the labels, {width}x{height} in the file'
        rounded = abs(stated[0] - width) <= 2 and abs(stated[1] - height) <= 2
        if turned and stated == (height, width):
            labels.stop(
                'images that EXIF turns, but whose labels are of the unturned ones -> take the tag out, such as by '
                'exiftool -Orientation= ',
                place,
            )
        elif not rounded and abs(stated[0] * height - stated[1] * width) <= max(stated) + max(width, height):
            labels.stop(
                'images of another size than in the labels, in the same proportion: resized after they were labelled '
                '-> take the labelled images, or scale the boxes',
                place,
            )
        elif not all(_fits(box, width, height) for box in boxes[image['id']]):
            labels.stop('images of another size than in the labels, beyond which objects lie', place)
        else:
            image['width'], image['height'] = width, height
            labels.fixed('widths and heights that are not those of the file, taken from it', place)


def _fits(box: Any, width: int, height: int) -> bool:
    try:
        x, y, w, h = map(float, box)
    except (TypeError, ValueError):
        return True  # the check of the boxes says so
    return x + w <= width + 1 and y + h <= height + 1
