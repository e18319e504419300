"""A first convolution for RGB serves images of any number of channels."""

import pytest
import torch

from detco_mm.weights.input_channels import adapt_input_channels


@pytest.mark.parametrize('channels', [1, 2, 3, 4, 13])
def test_an_image_that_is_the_same_in_all_channels_gives_what_grey_gave(channels):
    pytest.importorskip('timm')
    weight, grey = torch.randn(8, 3, 7, 7, dtype=torch.float64), torch.randn(1, 1, 16, 16, dtype=torch.float64)
    adapted = adapt_input_channels(torch.ones_like(weight) * weight.mean(1, keepdim=True), channels)
    before = torch.nn.functional.conv2d(grey.expand(1, 3, 16, 16), weight)
    after = torch.nn.functional.conv2d(grey.expand(1, channels, 16, 16), adapted)
    assert adapted.shape[1] == channels and torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize('shape', [(8, 5, 3, 3), (8, 3)])
def test_weights_over_other_channels_are_refused(shape):
    with pytest.raises(ValueError, match='only a convolution over one or three'):
        adapt_input_channels(torch.zeros(shape), 4)
