"""Pooling over regions, with the signatures of ``mmcv.ops``.

Regions are (R, 5): the index of the image, x1, y1, x2, y2. Shapes: ``input`` is (N, C, H, W), the result is
(R, C, P, Q) for an ``output_size`` of P times Q bins. No gradient goes to the regions.
"""

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torch.nn.modules.utils import _pair


def roi_align(
    input: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    pool_mode: str = 'avg',
    aligned: bool = True,
) -> Tensor:
    """Average bilinear samples in each bin of each region, or take the highest.

    Args:
        input: the maps.
        rois: the regions.
        output_size: in bins.
        spatial_scale: pixels of the maps in a unit of the regions.
        sampling_ratio: samples in a bin, in each direction; 0 for one a pixel, rounded up.
        pool_mode: 'avg' or 'max'.
        aligned: the first pixel's centre lies at 0.5, not at 0.

    Source: https://arxiv.org/abs/1703.06870, section 3.
    """
    if pool_mode == 'max':
        return _pool_samples(input, rois, None, output_size, spatial_scale, sampling_ratio, aligned, 'max')
    if pool_mode != 'avg':
        raise ValueError(f'pool_mode is "{pool_mode}": give "avg" or "max"')
    dtype = _dtype(input, rois)
    return torchvision.ops.roi_align(
        input.to(dtype), rois.to(dtype), output_size, spatial_scale, sampling_ratio, aligned
    ).to(input.dtype)


def roi_pool(input: Tensor, rois: Tensor, output_size: int | tuple[int, int], spatial_scale: float = 1.0) -> Tensor:
    """Take the highest value of the pixels that each bin of each region touches; 0 where it touches none.

    A region ends with the pixel that holds x2, y2, and bins are not rounded to pixels; torchvision's of this name
    rounds regions first, which gives others where ``spatial_scale`` is not 1.

    Args:
        input: the maps.
        rois: the regions.
        output_size: in bins.
        spatial_scale: pixels of the maps in a unit of the regions.

    Source: https://github.com/open-mmlab/mmcv/blob/v2.0.1/mmcv/ops/csrc/common/cuda/roi_pool_cuda_kernel.cuh
    """
    bins, size = _pair(output_size), input.shape[-2:]
    dtype = _dtype(rois)
    starts = rois[:, [2, 1]].to(dtype) * spatial_scale  # (R, 2), as y and x
    sides = (rois[:, [4, 3]].to(dtype) + 1) * spatial_scale - starts
    pooled = []
    for image, start, side in zip(rois[:, 0].long().tolist(), starts, sides, strict=True):
        rows, in_rows = _pixels(start[0], side[0], bins[0], size[0])
        columns, in_columns = _pixels(start[1], side[1], bins[1], size[1])
        touched = (in_rows[:, None, :, None] & in_columns[:, None, :]).flatten(-2)  # (P, Q, pixels of a bin)
        touched &= (side > 0).all()  # an inverted region has no pixels
        values = input[image][:, rows[:, None, :, None], columns[:, None, :]].flatten(-2)
        highest = values.masked_fill(~touched, -torch.inf).max(-1).values
        pooled.append(torch.where(touched.any(-1), highest, 0))
    return _stack(pooled, input, bins)


def _pixels(start: Tensor, side: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the pixels that each bin of a line touches, and which of them exist; both (bins, M)."""
    edges = start + torch.arange(bins + 1, dtype=start.dtype, device=start.device) * (side / bins)
    first, end = edges[:-1].floor().clamp(0, size).long(), edges[1:].ceil().clamp(0, size).long()
    longest = max(int((end - first).max()), 1)
    indices = first[:, None] + torch.arange(longest, device=start.device)
    return indices.clamp(max=size - 1), indices < end[:, None]


def deform_roi_pool(
    input: Tensor,
    rois: Tensor,
    offset: Tensor | None,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    gamma: float = 0.1,
) -> Tensor:
    """Average bilinear samples in bins of which each may move.

    Args:
        input: the maps.
        rois: the regions.
        offset: (R, 2, P, Q) how far bins move in x and y, in sides of their region times ``gamma``; None for nowhere.
        output_size: in bins.
        spatial_scale: pixels of the maps in a unit of the regions.
        sampling_ratio: samples in a bin, in each direction; 0 for one a pixel, rounded up.
        gamma: the scale of the offsets.

    Source: https://arxiv.org/abs/1703.06211, section 2.2.
    """
    moves = None if offset is None or not offset.numel() else offset * gamma
    return _pool_samples(input, rois, moves, output_size, spatial_scale, sampling_ratio, True, 'avg')


def _pool_samples(
    input: Tensor,
    rois: Tensor,
    moves: Tensor | None,
    output_size: int | tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    mode: str,
) -> Tensor:
    """Pool as RoIAlign does, the highest sample too, and from moved bins; region by region, hence slowly."""
    rows, columns = _pair(output_size)
    dtype = _dtype(input, rois)
    corners = rois[:, 1:].to(dtype) * spatial_scale - (0.5 if aligned else 0)
    starts, sides = corners[:, [1, 0]], corners[:, [3, 2]] - corners[:, [1, 0]]  # as y and x
    if not aligned:
        sides = sides.clamp(min=1)
    adaptive = (sides / torch.tensor([rows, columns], device=rois.device)).ceil()
    counts = torch.full_like(sides, sampling_ratio) if sampling_ratio > 0 else adaptive
    pooled = []
    regions = zip(rois[:, 0].long().tolist(), counts.long().tolist(), strict=True)
    for index, (image, (down, across)) in enumerate(regions):
        (top, left), (height, width) = starts[index], sides[index]
        if min(down, across) <= 0:  # a region without an area has no samples
            pooled.append(input.new_zeros(input.shape[1], rows, columns, dtype=dtype))
            continue
        y = top + height / rows * (torch.arange(rows * down, dtype=dtype, device=rois.device) + 0.5) / down
        x = left + width / columns * (torch.arange(columns * across, dtype=dtype, device=rois.device) + 0.5) / across
        y, x = y.view(rows, down, 1, 1), x.view(columns, across)
        if moves is not None:
            move_x, move_y = moves[index].to(dtype)[:, :, None, :, None]  # (P, 1, Q, 1)
            y, x = y + height * move_y, x + width * move_x
        samples = _bilinear(input[image].to(dtype), *torch.broadcast_tensors(y, x)).transpose(2, 3).flatten(-2)
        pooled.append(samples.mean(-1) if mode == 'avg' else samples.max(-1).values)
    return _stack(pooled, input, (rows, columns)).to(input.dtype)


def _bilinear(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Read maps (C, H, W) at places (...) between pixels, as (C, ...); 0 from more than a pixel outside."""
    height, width = image.shape[-2:]
    places = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], dim=-1)
    read = F.grid_sample(image[None], places.view(1, -1, 1, 2), padding_mode='border', align_corners=True)
    outside = (y < -1) | (y > height) | (x < -1) | (x > width)
    return read.view(-1, *y.shape).masked_fill(outside, 0)


def _stack(pooled: list[Tensor], input: Tensor, bins: tuple[int, int]) -> Tensor:
    """Return (R, C, P, Q) that depends on the input even if no region does: every parameter then has a gradient."""
    nothing = input[:0, :, :1, :1].expand(-1, -1, *bins)
    return torch.cat([nothing, *(region[None] for region in pooled)])


def _dtype(*tensors: Tensor) -> torch.dtype:
    """Return the type to compute in: torchvision has no kernels for bfloat16, and wants one type for all."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return torch.float32 if dtype == torch.bfloat16 else dtype
