"""Deformable convolution and attention, compared with loops over places and taps, gradients with finite differences."""

import math

import mmcv.ops
import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from tests.compat.ops.test_regions import maps


def read(image, y, x):
    """Read a map between its pixels; there are zeros around it."""
    value = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < len(image) and 0 <= column < len(image[0]):
                value += image[row][column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


def convolve(input, offset, mask, weight, bias, stride, padding, dilation, groups, deform_groups):
    """Deformable convolution as it is defined."""
    taps = weight.shape[2] * weight.shape[3]
    result = torch.zeros(len(input), len(weight), *offset.shape[2:], dtype=torch.float64)
    in_group, out_group = weight.shape[1], len(weight) // groups
    for n, d, i, j in torch.cartesian_prod(*map(torch.arange, result.shape)).tolist():
        total = 0.0 if bias is None else bias[d].item()
        for c in range(in_group):
            channel = d // out_group * in_group + c
            group = channel // (input.shape[1] // deform_groups)
            image = input[n, channel].tolist()
            for tap in range(taps):
                row, column = divmod(tap, weight.shape[3])
                dy, dx = offset[n, 2 * (group * taps + tap) :][:2, i, j].tolist()
                y, x = i * stride - padding + row * dilation + dy, j * stride - padding + column * dilation + dx
                share = 1 if mask is None else mask[n, group * taps + tap, i, j].item()
                total += weight[d, c, row, column].item() * share * read(image, y, x)
        result[n, d, i, j] = total
    return result


def pieces(groups, deform_groups):
    """Input, offset, mask, weight, bias of a small convolution with stride 2, padding 1, dilation 2."""
    sizes = [(2, 4, 6, 7), (2, 18 * deform_groups, 2, 3), (2, 9 * deform_groups, 2, 3), (2, 4 // groups, 3, 3), (2,)]
    return [maps(*size, seed=seed) - 0.5 for seed, size in enumerate(sizes)]


GROUPS = [(1, 1), (2, 1), (1, 2), (2, 4)]


@pytest.mark.parametrize(('groups', 'deform_groups'), GROUPS)
def test_deform_conv2d_reads_each_tap_where_its_offset_leads(groups, deform_groups):
    input, offset, _, weight, _ = pieces(groups, deform_groups)
    settings = (2, 1, 2, groups, deform_groups)
    found = mmcv.ops.deform_conv2d(input, offset * 4, weight, *settings)
    torch.testing.assert_close(found, convolve(input, offset * 4, None, weight, None, *settings))


@pytest.mark.parametrize(('groups', 'deform_groups'), GROUPS)
def test_modulated_deform_conv2d_weights_each_tap_as_well(groups, deform_groups):
    input, offset, mask, weight, bias = pieces(groups, deform_groups)
    settings = (2, 1, 2, groups, deform_groups)
    found = mmcv.ops.modulated_deform_conv2d(input, offset * 4, mask, weight, bias, *settings)
    torch.testing.assert_close(found, convolve(input, offset * 4, mask, weight, bias, *settings))


def test_the_gradients_of_deformable_convolutions_are_those_of_their_definition():
    input, offset, mask, weight, bias = (piece[:1].requires_grad_() for piece in pieces(2, 1))
    weight, bias = (piece.detach().repeat(2, *[1] * (piece.dim() - 1)).requires_grad_() for piece in (weight, bias))
    settings = (2, 1, 2, 2, 1)
    assert torch.autograd.gradcheck(lambda *x: mmcv.ops.deform_conv2d(*x, *settings), (input, offset, weight))
    assert torch.autograd.gradcheck(
        lambda *x: mmcv.ops.modulated_deform_conv2d(*x, *settings), (input, offset, mask, weight, bias)
    )


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_the_type_of_the_offset_rules_as_autocast_leaves_it(dtype):
    input, offset, mask, weight, bias = pieces(1, 1)
    found = mmcv.ops.modulated_deform_conv2d(input.float(), offset.to(dtype), mask, weight, bias, 2, 1, 2)
    assert found.dtype == dtype
    expected = mmcv.ops.modulated_deform_conv2d(input, offset, mask, weight, bias, 2, 1, 2)
    torch.testing.assert_close(found.double(), expected, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize('name', ['DCN', 'DCNv2', 'SAC'])
def test_layers_are_built_by_name_and_train(name):
    layer = MODELS.build(dict(type=name, in_channels=4, out_channels=4, kernel_size=3, padding=1))
    layer(maps(2, 4, 6, 6).float()).sum().backward()
    assert layer.weight.grad.any()


def test_attention_is_registered_and_reads_all_levels_where_it_looks():
    assert MODELS.get('MultiScaleDeformableAttention') is mmcv.ops.MultiScaleDeformableAttention
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction

    shapes, heads, points = torch.tensor([[3, 4], [2, 2]]), 2, 2
    value = maps(1, 16, heads, 3)
    places, weights = 1.4 * maps(1, 5, heads, 2, points, 2, seed=1) - 0.2, maps(1, 5, heads, 2, points, seed=2)
    starts = torch.tensor([0, 12])

    def attend(*inputs):
        return MultiScaleDeformableAttnFunction.apply(inputs[0], shapes, starts, inputs[1], inputs[2], 64)

    expected = torch.zeros(1, 5, heads * 3, dtype=torch.float64)
    for query, head, level, point, channel in torch.cartesian_prod(*map(torch.arange, (5, heads, 2, points, 3))):
        height, width = shapes[level].tolist()
        image = value[0, starts[level] :][: height * width, head, channel].view(height, width).tolist()
        x, y = places[0, query, head, level, point].tolist()
        share = weights[0, query, head, level, point]
        expected[0, query, head * 3 + channel] += share * read(image, y * height - 0.5, x * width - 0.5)
    torch.testing.assert_close(attend(value, places, weights), expected)
    inputs = tuple(piece.requires_grad_() for piece in (value, places, weights))
    assert torch.autograd.gradcheck(attend, inputs)


def test_a_masked_convolution_is_zero_where_the_mask_is():
    features, weight, bias = maps(1, 3, 5, 6), maps(2, 3, 3, 3, seed=1), maps(2, seed=2)
    mask = (maps(1, 5, 6, seed=3) > 0.5).double()
    found = mmcv.ops.masked_conv2d(features, mask, weight, bias, 1)
    expected = torch.zeros(1, 2, 5, 6, dtype=torch.float64)
    padded = F.pad(features, (1, 1, 1, 1))
    for _, i, j in mask.nonzero().tolist():
        expected[0, :, i, j] = (padded[0, :, i : i + 3, j : j + 3] * weight).sum((1, 2, 3)) + bias
    torch.testing.assert_close(found, expected)
