"""Tiles show what the image shows, and their labels lie where the objects are."""

import json

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as codec

from detco_mm.datasets.tiles import clipped, make_tiles, tile_boxes


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 200), st.data())
def test_tiles_cover_every_pixel_and_stay_inside(height, width, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    if height * width / (size - overlap) ** 2 > 2000:
        return
    seen = np.zeros((height, width), int)
    for top, left, tall, wide in tile_boxes(height, width, size, overlap):
        assert 0 <= top and top + tall <= height and 0 <= left and left + wide <= width
        assert (tall, wide) == (min(size, height), min(size, width))
        seen[top : top + tall, left : left + wide] += 1
    assert seen.all()


def drawn(outline, height, width):
    """Return a mask of a polygon, or of an RLE."""
    rles = codec.frPyObjects(outline, height, width) if isinstance(outline, list) else [outline]
    return codec.decode(codec.merge(rles)).astype(bool)


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 79)), min_size=3, max_size=6, unique=True),
    box=st.tuples(st.integers(0, 40), st.integers(0, 60), st.just(40), st.just(40)),
    kind=st.sampled_from(['polygon', 'rle', 'uncompressed']),
)
def test_a_clipped_mask_is_the_mask_in_the_tile(points, box, kind):
    hull = cv2.convexHull(np.array(points, np.float32))[:, 0]
    outline = [hull.ravel().tolist()]
    if len(hull) < 3 or (whole := drawn(outline, 80, 100)).sum() < 30:
        return
    if kind == 'polygon':
        segmentation = outline
    else:
        segmentation = codec.encode(np.asfortranarray(whole.astype(np.uint8)))
        if kind == 'uncompressed':
            runs, value, flat = [0], 0, whole.ravel(order='F').astype(int)
            for pixel in flat:
                if pixel != value:
                    runs.append(0)
                    value = pixel
                runs[-1] += 1
            segmentation = dict(size=[80, 100], counts=runs)
    x, y, w, h = cv2.boundingRect(whole.astype(np.uint8))
    found = dict(id=1, image_id=1, category_id=3, bbox=[x, y, w, h], area=int(whole.sum()), segmentation=segmentation)
    top, left, height, width = box
    expected = whole[top : top + height, left : left + width]
    part = clipped(found, box, (80, 100), 1e-6)
    if part is None:
        assert expected.sum() <= 0.05 * whole.sum() + 15  # a polygon touches pixels that it does not fill
        return
    shown = drawn(part['segmentation'], height, width)
    assert part['category_id'] == 3
    border = cv2.dilate(expected.astype(np.uint8), np.ones((3, 3))) - cv2.erode(
        expected.astype(np.uint8), np.ones((3, 3))
    )
    # pycocotools draws a sliver with other pixels once its end is cut off
    assert ((shown != expected) & (border == 0)).sum() <= 4
    x, y, w, h = part['bbox']
    assert 0 <= x and 0 <= y and x + w <= width and y + h <= height


def scene(folder, image, name, **label):
    """Write an image with one object, and return its json."""
    folder.mkdir(parents=True)
    if name.endswith('.tif'):
        tifffile.imwrite(folder / name, image, photometric='minisblack', planarconfig='contig')
    else:
        cv2.imwrite(str(folder / name), image)
    height, width = image.shape[:2]
    content = dict(
        images=[dict(id=7, file_name=name, width=width, height=height)],
        annotations=[dict(id=3, image_id=7, category_id=1, bbox=[40, 30, 30, 20], area=600, iscrowd=0, **label)],
        categories=[dict(id=1, name='thing')],
    )
    path = folder.parent / 'labels.json'
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize('name', ['a.tif', 'a.png'])
def test_tiles_hold_the_pixels_and_the_labels_of_their_place(name, tmp_path):
    bands = 5 if name.endswith('.tif') else 3
    image = np.random.default_rng(0).integers(0, 60000, (100, 120, bands)).astype(np.uint16)
    labels = scene(tmp_path / 'images', image, name, segmentation=[[40, 30, 70, 30, 70, 50, 40, 50]])
    out = make_tiles(tmp_path / 'images', tmp_path / 'out', 50, 10, labels, min_visible=0.5)
    content = json.loads(out.read_text())
    assert out.name == 'labels.json' and len(content['images']) == 9
    by_id = {tile['id']: tile for tile in content['images']}
    for tile in content['images']:
        path = str(tmp_path / 'out/images' / tile['file_name'])
        pixels = tifffile.imread(path) if bands == 5 else cv2.imread(path, cv2.IMREAD_UNCHANGED)
        top, left = tile['cut_from']['top'], tile['cut_from']['left']
        assert pixels.dtype == np.uint16 and np.array_equal(pixels, image[top : top + 50, left : left + 50])
    assert content['annotations']
    for found in content['annotations']:
        at = by_id[found['image_id']]['cut_from']
        assert found['bbox'] == [max(40 - at['left'], 0), max(30 - at['top'], 0), found['bbox'][2], found['bbox'][3]]
        assert found['area'] == found['bbox'][2] * found['bbox'][3] >= 300


def test_tiles_without_an_object_are_left_out_where_asked(tmp_path):
    labels = scene(tmp_path / 'images', np.zeros((100, 120, 3), np.uint8), 'a.png')
    out = make_tiles(tmp_path / 'images', tmp_path / 'out', 50, 0, labels, keep_empty=False)
    content = json.loads(out.read_text())
    assert {found['image_id'] for found in content['annotations']} == {tile['id'] for tile in content['images']}
    assert len(list((tmp_path / 'out/images').iterdir())) == len(content['images']) < 6


def test_a_folder_without_labels_is_cut_and_names_do_not_collide(tmp_path):
    for name in ('a.png', 'a.jpg', 'deep/b.png'):
        (tmp_path / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / 'images' / name), np.full((30, 50, 3), 9, np.uint8))
    out = make_tiles(tmp_path / 'images', tmp_path / 'out', 40, 0)
    assert len(list(out.rglob('*.png'))) == 6 and (out / 'deep/b_0_10.png').is_file()


def test_a_geotiff_keeps_its_nodata(tmp_path):
    (tmp_path / 'images').mkdir()
    heights = np.full((30, 30), -9999, np.float32)
    tifffile.imwrite(tmp_path / 'images/a.tif', heights, extratags=[(42113, 's', 0, '-9999', True)])
    out = make_tiles(tmp_path / 'images', tmp_path / 'out', 20, 0)
    with tifffile.TiffFile(out / 'a_0_0.tif') as file:
        assert float(file.pages.first.tags[42113].value) == -9999


def test_labels_of_another_size_stop(tmp_path):
    labels = scene(tmp_path / 'images', np.zeros((100, 120, 3), np.uint8), 'a.png')
    labels.write_text(labels.read_text().replace('"width": 120', '"width": 640'))
    with pytest.raises(ValueError, match='"a.png" has 120x100 pixels, its labels say 640x100'):
        make_tiles(tmp_path / 'images', tmp_path / 'out', 50, 0, labels)


@pytest.mark.parametrize('wrong', [dict(size=0), dict(overlap=50), dict(overlap=-1), dict(min_visible=0)])
def test_settings_that_cut_nothing_are_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        make_tiles(tmp_path, tmp_path / 'out', **{'size': 50, 'overlap': 0, **wrong})
