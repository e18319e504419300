"""The photometric steps equal torchvision's: each by itself on the same amount, and all of them in distribution."""

import numpy as np
import pytest
import torch
import torchvision.transforms as tv
import torchvision.transforms.functional as tvf
from PIL import Image
from skimage import data

from detco_mm.transforms import photometric
from detco_mm.transforms.photometric import ColourJitter, GaussianBlur

PHOTO = np.ascontiguousarray(data.astronaut()[:192, 96:288])
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
TALL = np.ascontiguousarray(PHOTO[:, :1])


def difference(ours, theirs, image):
    """Return our image less Pillow's, as integers."""
    return ours(image).astype(int) - np.asarray(theirs(Image.fromarray(image))).astype(int)


@pytest.mark.parametrize('image', [PHOTO, NOISE, TALL], ids=['photo', 'noise', 'one column'])
@pytest.mark.parametrize('factor', [0.0, 0.6, 0.93, 1.0, 1.4])
@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
def test_a_factor_changes_pixels_as_torchvision_does_to_within_one_value(name, factor, image):
    ours, theirs = getattr(photometric, f'adjust_{name}'), getattr(tvf, f'adjust_{name}')
    off = difference(lambda x: ours(x, factor), lambda x: theirs(x, factor), image)
    assert np.abs(off).max() <= 1
    assert abs(off.mean()) < 0.05  # no drift: truncation, not rounding


@pytest.mark.parametrize('shift', [-0.5, -0.1, -0.03, 0.0, 0.06, 0.1, 0.5])
@pytest.mark.parametrize(('image', 'tolerance'), [(PHOTO, 0.6), (NOISE, 1.5)], ids=['photo', 'noise'])
def test_a_hue_shift_turns_colours_as_torchvision_does(shift, image, tolerance):
    # Both keep the hue in 8 bits, and round it differently on the way there and back.
    off = difference(lambda x: photometric.adjust_hue(x, shift), lambda x: tvf.adjust_hue(x, shift), image)
    assert np.abs(off).mean() < tolerance


def test_a_hue_shift_wraps_around_the_circle_without_overflow():
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    with np.errstate(all='raise'):
        back, forth = photometric.adjust_hue(red, -1 / 3), photometric.adjust_hue(red, 1 / 3)
    assert back[0, 0].argmax() == 2  # blue
    assert forth[0, 0].argmax() == 1  # green


@pytest.mark.parametrize('image', [PHOTO, NOISE], ids=['photo', 'noise'])
def test_grey_is_torchvisions_grey(image):
    off = difference(photometric.to_grey, lambda x: tvf.rgb_to_grayscale(x, 3), image)
    assert np.abs(off).max() <= 1


@pytest.mark.parametrize('sigma', [0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize('image', [PHOTO, NOISE], ids=['photo', 'noise'])
def test_a_blur_is_torchvisions_with_a_kernel_of_23(image, sigma):
    # 23 is SimCLR's kernel at 224 pixels; it holds five sigma, ours three.
    off = difference(
        lambda x: photometric.gaussian_blur(x, sigma), lambda x: tvf.gaussian_blur(x, [23, 23], [sigma, sigma]), image
    )
    assert np.abs(off).max() <= 1


def test_a_flip_is_torchvisions():
    assert not difference(photometric.flip, tvf.hflip, NOISE).any()


def statistics(images):
    """Return mean, spread, colourfulness and roughness of each image, (N, 4)."""
    stack = np.stack([np.asarray(image) for image in images]).astype(np.float32)
    return np.stack(
        [
            stack.mean((1, 2, 3)),
            stack.std((1, 2, 3)),
            (stack.max(3) - stack.min(3)).mean((1, 2)),
            np.abs(np.diff(stack, axis=2)).mean((1, 2, 3)),
        ],
        axis=1,
    )


def assert_same_distribution(ours, theirs):
    """Compare means and standard deviations, each to within four standard errors."""
    for ours_one, theirs_one in zip(statistics(ours).T, statistics(theirs).T, strict=True):
        number = len(ours_one)
        spread = np.hypot(ours_one.std(), theirs_one.std()) + 1e-3
        assert abs(ours_one.mean() - theirs_one.mean()) < 4 * spread / number**0.5 + 0.1
        # The fourth moment bounds how well a standard deviation of N draws is known; 3 is more than any of these has.
        assert abs(ours_one.std() - theirs_one.std()) < 4 * spread * (3 / (4 * number)) ** 0.5 + 0.1


SMALL = np.ascontiguousarray(PHOTO[::4, ::4])


@pytest.mark.parametrize('amounts', [{}, dict(brightness=1.2, contrast=0, saturation=0.9, hue=0.5, prob=0.5)])
def test_colour_jitter_is_torchvisions_in_distribution(amounts):
    np.random.seed(0)
    torch.manual_seed(0)
    ours = ColourJitter(**amounts)
    prob = amounts.get('prob', 0.8)
    steps = {**dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1), **amounts}
    steps.pop('prob', None)
    theirs = tv.RandomApply([tv.ColorJitter(**steps)], p=prob)
    pil = Image.fromarray(SMALL)
    assert_same_distribution([ours(SMALL) for _ in range(1500)], [theirs(pil) for _ in range(1500)])


def test_the_amounts_reach_the_ends_of_moco_v2s_ranges_and_no_further():
    np.random.seed(0)
    grey = np.full((2, 2, 3), 100, np.uint8)
    red = np.full((2, 2, 3), (200, 0, 0), np.uint8)
    off = dict(brightness=0, contrast=0, saturation=0, hue=0, prob=1)
    lit = [ColourJitter(**{**off, 'brightness': 0.4})(grey)[0, 0, 0] for _ in range(1000)]
    assert (min(lit), max(lit)) == (60, 139)  # 100 * (1 - 0.4), 100 * (1 + 0.4), which is truncated
    turned = np.array([ColourJitter(**{**off, 'hue': 0.1})(red)[0, 0] for _ in range(1000)])
    ends = np.array([np.asarray(tvf.adjust_hue(Image.fromarray(red), shift))[0, 0] for shift in (-0.1, 0.1)])
    # Pillow's way back from a hue of 8 bits divides by 255 what it multiplied by 256: up to 4 values of 117 here.
    assert turned.max(0).tolist() == pytest.approx(ends.max(0).tolist(), abs=4)


@pytest.mark.parametrize('make', [ColourJitter, GaussianBlur])
def test_an_image_is_changed_as_often_as_moco_v2_does(make):
    np.random.seed(0)
    step, number = make(), 4000
    prob = 0.8 if make is ColourJitter else 0.5
    image = NOISE[:8, :8]
    share = np.mean([step(image) is not image for _ in range(number)])
    assert abs(share - prob) < 4 * (prob * (1 - prob) / number) ** 0.5


def test_blur_is_torchvisions_in_distribution():
    np.random.seed(0)
    torch.manual_seed(0)
    ours, theirs = GaussianBlur(), tv.RandomApply([tv.GaussianBlur(23, (0.1, 2.0))], p=0.5)
    tensor = torch.from_numpy(SMALL).permute(2, 0, 1)
    assert_same_distribution(
        [ours(SMALL) for _ in range(1000)], [theirs(tensor).permute(1, 2, 0).numpy() for _ in range(1000)]
    )


def test_the_input_is_never_written_to():
    before = PHOTO.copy()
    np.random.seed(1)
    for _ in range(20):
        GaussianBlur(prob=1)(ColourJitter(prob=1)(PHOTO))
    assert (before == PHOTO).all()


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda: ColourJitter(hue=0.6), 'hue=0.6'),
        (lambda: ColourJitter(brightness=-1), 'brightness=-1'),
        (lambda: ColourJitter(prob=1.5), 'prob=1.5'),
        (lambda: GaussianBlur(sigma=(0, 2)), r'sigma=\(0, 2\)'),
        (lambda: GaussianBlur(sigma=(2, 1)), r'sigma=\(2, 1\)'),
    ],
)
def test_an_amount_out_of_range_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()
