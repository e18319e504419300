"""Deformable convolution and attention, and masked convolution, with the signatures of ``mmcv.ops``."""

from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

Pair = int | tuple[int, int]


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    deform_groups: int = 1,
    bias: bool = False,
    im2col_step: int = 32,
) -> Tensor:
    """Convolve with taps that each place moves by its own offsets.

    Args:
        input: (N, C, H, W).
        offset: (N, 2GK, H', W') how far each of K taps moves in y and x, for each of G deformable groups.
        weight: (D, C / groups, height, width), K = height times width.
        stride: of the convolution, as the next two.
        padding: zeros around the input.
        dilation: pixels between taps.
        groups: of channels; the weight's shape tells it as well.
        deform_groups: G; the offset's shape tells it as well.
        bias: False.
        im2col_step: of no effect here.

    Returns:
        (N, D, H', W') of the offset's type, which is what autocast leaves half.

    Source: https://arxiv.org/abs/1703.06211, section 2.1.
    """
    if bias:
        raise ValueError('deform_conv2d has no bias: use modulated_deform_conv2d')
    return _convolve(input, offset, None, weight, None, stride, padding, dilation)


def modulated_deform_conv2d(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    """Convolve as :func:`deform_conv2d`, with a weight for each tap at each place.

    Args:
        input: (N, C, H, W).
        offset: (N, 2GK, H', W').
        mask: (N, GK, H', W') weights of taps.
        weight: (D, C / groups, height, width).
        bias: (D,).
        stride: of the convolution, as the next two.
        padding: zeros around the input.
        dilation: pixels between taps.
        groups: of channels; the weight's shape tells it as well.
        deform_groups: G; the offset's shape tells it as well.

    Source: https://arxiv.org/abs/1811.11168, section 3.2.
    """
    return _convolve(input, offset, mask, weight, bias, stride, padding, dilation)


def _convolve(
    input: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Tensor:
    dtype = torch.float32 if offset.dtype == torch.bfloat16 else offset.dtype  # torchvision has no kernel for it
    tensors = [None if tensor is None else tensor.to(dtype) for tensor in (input, offset, weight, bias, mask)]
    moved = torchvision.ops.deform_conv2d(*tensors[:4], stride, padding, dilation, tensors[4])
    return moved.to(offset.dtype)


def multi_scale_deformable_attention(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: Any,
) -> Tensor:
    """Read maps at learned places, by mmcv's own plain PyTorch, which mmcv itself uses on the CPU alone.

    Args:
        value: (N, sum of H * W, heads, C) maps of all levels, one after the other.
        value_spatial_shapes: (levels, 2) heights and widths.
        value_level_start_index: of no effect here.
        sampling_locations: (N, queries, heads, levels, points, 2) x and y in [0, 1].
        attention_weights: (N, queries, heads, levels, points).
        im2col_step: of no effect here.

    Returns:
        (N, queries, heads * C)

    Source: https://arxiv.org/abs/2010.04159, equation 3.
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch  # not before it is complete

    shapes = value_spatial_shapes.tolist()  # one wait for a GPU, not one for each level
    return multi_scale_deformable_attn_pytorch(
        value, shapes, sampling_locations.to(value.dtype), attention_weights.to(value.dtype)
    )


def masked_conv2d(
    features: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, padding: Pair = 0, stride: Pair = 1
) -> Tensor:
    """Convolve, and keep what the mask marks; 0 elsewhere.

    Args:
        features: (1, C, H, W).
        mask: (1, H, W); places above 0 are kept.
        weight: (D, C, height, width).
        bias: (D,).
        padding: zeros around the features, such that the result is of their size.
        stride: 1.
    """
    return F.conv2d(features, weight, bias, stride, padding) * (mask > 0)
