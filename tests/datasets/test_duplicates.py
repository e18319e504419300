"""A picture is found again at another size, compression and depth, and no other is taken for it."""

import json

import cv2
import numpy as np
import pytest
import tifffile
from skimage import data

pytest.importorskip('imagehash')
from detco_mm.datasets.duplicates import Pair, fingerprints, held_out_images, leaks, near_pairs, thinned

PHOTOS = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), data.immunohistochemistry()]


def changed(image, way):
    """Return the image as somebody else might have stored it."""
    return {
        'half': lambda: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        'grey': lambda: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
        'brighter': lambda: cv2.convertScaleAbs(image, alpha=0.8, beta=30),
        'noisy': lambda: cv2.add(image, np.random.default_rng(0).integers(0, 12, image.shape).astype(np.uint8)),
        'edge cut': lambda: image[2:-2, 2:-2],
    }[way]()


@pytest.fixture
def held_out(tmp_path):
    folder = tmp_path / 'val'
    folder.mkdir()
    for number, image in enumerate(PHOTOS):
        cv2.imwrite(str(folder / f'{number}.png'), image[..., ::-1])
    images = [dict(id=number, file_name=f'{number}.png') for number in range(len(PHOTOS))]
    (tmp_path / 'val.json').write_text(json.dumps(dict(images=images, annotations=[], categories=[])))
    return held_out_images(str(tmp_path / 'val.json'), str(folder))


@pytest.mark.parametrize('way', ['half', 'grey', 'brighter', 'noisy', 'edge cut'])
def test_each_picture_is_found_again_and_only_itself(way, held_out, tmp_path):
    mine = []
    for number, image in enumerate(PHOTOS[:3]):
        mine.append(str(tmp_path / f'{number}.jpg'))
        cv2.imwrite(mine[-1], changed(image, way)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])
    found = leaks(mine, held_out)
    assert {(pair.image[-5], pair.other[-5]) for pair in found} == {('0', '0'), ('1', '1'), ('2', '2')}


def test_a_deep_copy_is_found_too_and_a_broken_file_is_not_compared(held_out, tmp_path):
    path, broken = tmp_path / 'deep.tif', tmp_path / 'broken.jpg'
    tifffile.imwrite(path, PHOTOS[0].astype(np.uint16) * 15 + 100, photometric='rgb')
    broken.write_bytes(b'no image')
    assert [pair.image for pair in leaks([str(path), str(broken)], held_out)] == [str(path)]


def test_the_same_file_in_both_is_a_leak(held_out):
    assert Pair(held_out[2], held_out[2], 0) in leaks(held_out[2:3], held_out)


def test_pairs_are_those_of_a_plain_comparison_bit_by_bit():
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, (20, 256)) * 2 - 1
    flips = np.where(rng.random((1200, 256)) < rng.uniform(0, 0.4, (1200, 1)), -1, 1)
    hashes = (base[rng.integers(0, 20, 1200)] * flips).astype(np.float32)
    names = [f'{number:04d}' for number in range(1200)]
    distances = (hashes[:, None, ::] != hashes[None]).sum(-1)
    expected = {(names[i], names[j]) for i, j in np.argwhere(distances <= 64) if i < j}
    found = near_pairs(names, hashes)
    assert {(pair.image, pair.other) for pair in found} == expected
    assert [pair.distance for pair in found] == sorted(pair.distance for pair in found)


def test_a_thinned_film_keeps_no_two_that_repeat_and_drops_nothing_that_does_not():
    frames = [f'{number:02d}' for number in range(20)]
    pairs = [Pair(frames[i], frames[j], 9) for i in range(20) for j in range(i + 1, 20) if j - i <= 3]
    kept = thinned(frames, pairs)
    assert kept == frames[::4]
    assert thinned(frames, []) == frames


def test_progress_is_told_to_the_end(held_out):
    told = []
    fingerprints(held_out, lambda done, count: told.append((done, count)))
    assert told == [(number, 5) for number in range(1, 6)]
