"""Pooling over regions, with the signatures of ``mmcv.ops``."""

import torch
import torchvision
from torch import Tensor


def roi_align(
    input: Tensor,
    rois: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    pool_mode: str = 'avg',
    aligned: bool = True,
) -> Tensor:
    """Average bilinear samples in each bin of each region.

    Args:
        input: (N, C, H, W).
        rois: (R, 5) index of the image, x1, y1, x2, y2.
        output_size: height and width in bins.
        spatial_scale: pixels of ``input`` per unit of ``rois``.
        sampling_ratio: samples per bin in each direction; 0 for as many as a bin has pixels, rounded up.
        pool_mode: 'avg' alone.
        aligned: the centre of a pixel lies at half of it.

    Returns:
        (R, C, height, width)
    """
    if pool_mode != 'avg':
        raise NotImplementedError(f'roi_align with pool_mode="{pool_mode}"')
    dtype = torch.promote_types(input.dtype, rois.dtype)
    pooled = torchvision.ops.roi_align(
        input.to(dtype), rois.to(dtype), output_size, spatial_scale, sampling_ratio, aligned
    )
    return pooled.to(input.dtype)
