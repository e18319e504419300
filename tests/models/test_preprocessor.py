"""The preprocessor normalises on the device, and says what is wrong with a batch."""

import pytest
import torch

from detco_mm.models.preprocessor import DetCoDataPreprocessor
from detco_mm.registry import MODELS


def batch(dtype=torch.uint8):
    """Return views of two images: a global and a local one."""
    torch.manual_seed(0)
    return [torch.randint(0, 256, shape).to(dtype) for shape in ((2, 3, 8, 6), (2, 9, 3, 4, 4))]


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.float32, torch.float64])
def test_every_channel_is_normalised_by_its_own_statistics(dtype, channels_last):
    views = batch(dtype)
    kept = [view.clone() for view in views]
    out = DetCoDataPreprocessor(channels_last=channels_last)(dict(inputs=views))
    mean, std = (torch.tensor(x) for x in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    for before, copy, after in zip(views, kept, out['inputs'], strict=True):
        expected = (copy.double() - mean.view(3, 1, 1)) / std.view(3, 1, 1)
        torch.testing.assert_close(after, expected.float())
        assert torch.equal(before, copy)  # the caller's tensors stay
    assert out['data_samples'] is None


def test_channels_last_holds_for_the_patches_once_they_are_flattened():
    globals_, patches = DetCoDataPreprocessor(channels_last=True)(dict(inputs=batch()))['inputs']
    assert globals_.is_contiguous(memory_format=torch.channels_last)
    assert patches.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_it_is_built_by_its_name_and_adds_nothing_to_a_checkpoint():
    built = MODELS.build(dict(type='detco_mm.DetCoDataPreprocessor'))
    assert isinstance(built, DetCoDataPreprocessor)
    assert not built.state_dict()


def test_inputs_follow_the_device_of_the_preprocessor():
    moved = DetCoDataPreprocessor().to('meta')
    assert all(view.device.type == 'meta' for view in moved(dict(inputs=batch()))['inputs'])


def test_a_single_tensor_is_one_view():
    out = DetCoDataPreprocessor()(dict(inputs=batch()[0]))['inputs']
    assert [tuple(view.shape) for view in out] == [(2, 3, 8, 6)]


@pytest.mark.parametrize(
    ('inputs', 'words'),
    [
        ([torch.zeros(3, 8, 8)], r'view 0 has shape \(3, 8, 8\)'),
        ([torch.zeros(2, 1, 8, 8)], r'view 0 has shape \(2, 1, 8, 8\)'),
        ([torch.zeros(2, 3, 8, 8), torch.zeros(1, 3, 8, 8)], r'\[2, 1\] images'),
        ([(torch.zeros(3, 8, 8), torch.zeros(3, 9, 8))], 'crop all of them to one size'),
        ([], r'\[\] images'),
    ],
)
def test_a_batch_of_the_wrong_shape_is_named(inputs, words):
    with pytest.raises(ValueError, match=words):
        DetCoDataPreprocessor()(dict(inputs=inputs))


@pytest.mark.parametrize('std', [(1, 1), (1, 0, 1)])
def test_statistics_that_do_not_normalise_are_named(std):
    with pytest.raises(ValueError, match='do not normalise'):
        DetCoDataPreprocessor(std=std)
