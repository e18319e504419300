"""Colours of a batch change as torchvision changes them: each step on the same amounts, and all in distribution."""

import pytest
import torch
import torchvision.transforms as tv
import torchvision.transforms.functional as tvf
from skimage import data

from detco_mm.models.preprocessor import DetCoDataPreprocessor
from detco_mm.transforms import batch_colour
from detco_mm.transforms.batch_colour import BatchColour
from detco_mm.transforms.photometric import ColourJitter

PHOTO = torch.from_numpy(data.astronaut()[:192, 96:288].copy()).permute(2, 0, 1).float()
NOISE = torch.rand(3, 192, 192, generator=torch.Generator().manual_seed(0)) * 255
OFF = dict(brightness=0, contrast=0, saturation=0, hue=0, prob=1)


@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation', 'hue'])
def test_each_image_is_changed_by_its_own_amount_as_torchvision_does(name):
    images = torch.stack([PHOTO, NOISE, PHOTO.mean(0, keepdim=True).expand(3, -1, -1)])
    amounts = torch.tensor([-0.5, 0.1, 0.03] if name == 'hue' else [0.0, 0.6, 1.4])
    ours = getattr(batch_colour, f'adjust_{name}')(images[:, None], amounts.view(-1, 1, 1, 1, 1))[:, 0]
    adjust = getattr(tvf, f'adjust_{name}')
    theirs = torch.stack([adjust(x / 255, y) * 255 for x, y in zip(images, amounts.tolist(), strict=True)])
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0)  # torchvision's luma has four digits


def test_each_image_is_blurred_by_its_own_sigma_as_torchvision_does():
    images, sigma = torch.stack([PHOTO, NOISE, PHOTO]), torch.tensor([0.1, 1.0, 2.0])
    ours = batch_colour.gaussian_blur(images[:, None], sigma, radius=6)[:, 0]
    theirs = torch.stack([tvf.gaussian_blur(x, [13, 13], [y, y]) for x, y in zip(images, sigma.tolist(), strict=True)])
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-5)


def test_patches_share_the_amounts_and_the_mean_of_their_view_but_not_its_blur():
    torch.manual_seed(0)
    patches = PHOTO.unflatten(1, (3, 64)).unflatten(3, (3, 64)).permute(1, 3, 0, 2, 4).reshape(1, 9, 3, 64, 64)
    factor = torch.tensor(0.6).view(1, 1, 1, 1, 1)
    whole = batch_colour.adjust_contrast(PHOTO[None, None], factor)[0, 0]
    ours = batch_colour.adjust_contrast(patches, factor)[0]
    torch.testing.assert_close(ours[4], whole[:, 64:128, 64:128])
    sigma = torch.tensor([1.5])
    blurred = batch_colour.gaussian_blur(patches, sigma, radius=6)[0]
    torch.testing.assert_close(blurred[4], batch_colour.gaussian_blur(patches[:, 4:5], sigma, radius=6)[0, 0])


def features(images):
    """Mean, spread, colourfulness and roughness of each image, (N, 4)."""
    return torch.stack(
        [
            images.mean((1, 2, 3)),
            images.std((1, 2, 3)),
            (images.amax(1) - images.amin(1)).mean((1, 2)),
            images.diff(dim=3).abs().mean((1, 2, 3)),
        ],
        dim=1,
    )


def test_all_steps_together_are_moco_v2s_in_distribution():
    torch.manual_seed(0)
    small = PHOTO[:, ::4, ::4].contiguous()
    theirs = tv.Compose([
        tv.RandomApply([tv.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        tv.RandomGrayscale(p=0.2),
        tv.RandomApply([tv.GaussianBlur(13, (0.1, 2.0))], p=0.5),
    ])  # fmt: skip
    number = 2000
    ours = features(BatchColour()(small.repeat(number, 1, 1, 1)))
    theirs = features(torch.stack([theirs(small / 255) * 255 for _ in range(number)]))
    error = torch.hypot(ours.std(0), theirs.std(0)) / number**0.5
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 4 * error).all()
    assert ((ours.std(0) - theirs.std(0)).abs() < 4 * error).all()


def test_a_step_that_is_off_leaves_images_alone():
    views = torch.stack([PHOTO, NOISE])
    for settings in (
        dict(colour_jitter=None, grey_prob=0, blur=None),
        dict(colour_jitter=OFF, grey_prob=0, blur=dict(prob=0)),
    ):
        assert torch.equal(BatchColour(**settings)(views.clone()), views)
    grey = BatchColour(colour_jitter=None, grey_prob=1, blur=None)(views.clone())
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_the_preprocessor_changes_colours_in_training_alone_and_leaves_the_callers_tensors():
    views = [PHOTO[None].repeat(8, 1, 1, 1).byte(), PHOTO[None, None, :, :64, :64].repeat(8, 9, 1, 1, 1).byte()]
    kept = [view.clone() for view in views]
    for channels_last in (False, True):
        plain = DetCoDataPreprocessor(channels_last=channels_last)
        colour = DetCoDataPreprocessor(channels_last=channels_last, colour=dict())
        before, still, after = (
            made(dict(inputs=views), training)['inputs']
            for made, training in ((plain, True), (colour, False), (colour, True))
        )
        for one, two, three, view, copy in zip(before, still, after, views, kept, strict=True):
            assert torch.equal(one, two) and torch.equal(view, copy)
            assert (one - three).abs().flatten(1).amax(1).gt(0.1).sum() >= 5  # of 8; 0.9 * 8 are expected
        assert after[0].is_contiguous(memory_format=torch.channels_last) == channels_last


def test_a_bad_amount_is_refused_with_its_name():
    with pytest.raises(ValueError, match='colour jitter hue=0.7'):
        DetCoDataPreprocessor(colour=dict(colour_jitter=dict(hue=0.7)))
    with pytest.raises(ValueError, match='grey_prob=2'):
        BatchColour(grey_prob=2)
    assert ColourJitter(hue=0).ranges['hue'] == (0, 0)


@pytest.mark.parametrize('channels', [1, 4, 13])
def test_channels_that_are_no_colours_change_in_brightness_contrast_and_sharpness_alone(channels):
    step = BatchColour(colour_jitter=dict(prob=1.0), grey_prob=1.0, blur=dict(prob=0.0))
    views = torch.rand(3, channels, 8, 8) * 200
    changed = step(views.clone())
    assert changed.shape == views.shape and not torch.equal(changed, views)
    if channels > 1:
        assert (changed.std(1) > 1).any()  # grey would make all channels equal
