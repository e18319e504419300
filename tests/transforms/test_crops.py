"""Boxes are drawn and pixels resized as torchvision does."""

import numpy as np
import pytest
import torch
import torchvision.transforms as tv
import torchvision.transforms.functional as tvf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from detco_mm.transforms.crops import random_box, resized_crop, smallest_side

RATIO = (3 / 4, 4 / 3)


@pytest.mark.parametrize('shape', [(375, 500), (500, 333), (90, 300)])
@pytest.mark.parametrize('scale', [(0.2, 1.0), (0.6, 1.0)])
def test_boxes_are_torchvisions_in_distribution(shape, scale):
    np.random.seed(0)
    torch.manual_seed(0)
    image = torch.empty(3, *shape)
    number = 4000
    ours = np.array([random_box(*shape, scale, RATIO) for _ in range(number)], float)
    theirs = np.array([tv.RandomResizedCrop.get_params(image, scale, RATIO) for _ in range(number)], float)
    # Deciles of top, left, height and width: a decile of 4000 draws is known to about 1.6 % of the ranks, and four
    # times that is allowed. A uniform side of this image then differs by less than 0.065 * side, plus a pixel.
    for ours_one, theirs_one in zip(ours.T, theirs.T, strict=True):
        levels = np.linspace(0.1, 0.9, 9)
        cuts = np.quantile(theirs_one, levels)
        below = np.array([(ours_one < cut - 0.5).mean() for cut in cuts])
        upto = np.array([(ours_one < cut + 0.5).mean() for cut in cuts])
        assert (below - 0.065 < levels).all()
        assert (upto + 0.065 > levels).all()


@pytest.mark.parametrize('shape', [(1, 1000), (1000, 1), (7, 300)])
def test_the_fallback_box_is_torchvisions_in_the_middle(shape):
    # No box of at least 90 % of so long an image has an allowed aspect: all ten draws fail.
    ours = random_box(*shape, (0.9, 1.0), RATIO)
    assert ours == tuple(tv.RandomResizedCrop.get_params(torch.empty(3, *shape), [0.9, 1.0], RATIO))


@given(height=st.integers(1, 600), width=st.integers(1, 600), seed=st.integers(0, 2**32 - 1))
def test_a_box_is_never_empty_never_outside_and_never_below_the_smallest_side(height, width, seed):
    np.random.seed(seed)
    top, left, box_height, box_width = random_box(height, width, (0.2, 1.0), RATIO)
    assert 0 <= top and top + box_height <= height and box_height >= 1
    assert 0 <= left and left + box_width <= width and box_width >= 1
    assert min(box_height, box_width) >= smallest_side(height, width, (0.2, 1.0), RATIO) - 0.5  # rounded to pixels


@pytest.mark.parametrize(
    'box', [(0, 0, 400, 420), (10, 20, 300, 260), (5, 7, 100, 120), (3, 4, 230, 200), (9, 9, 1, 1), (0, 0, 512, 5)]
)
def test_a_crop_is_resized_as_torchvision_does_to_within_one_value(box):
    rgb = data.astronaut()
    ours = resized_crop(rgb, box, 224)
    theirs = np.asarray(tvf.resized_crop(Image.fromarray(rgb), *box, [224, 224]))
    assert ours.flags.c_contiguous and ours.dtype == np.uint8
    assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1
