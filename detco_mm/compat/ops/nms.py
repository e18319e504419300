"""Non-maximum suppression, with the signatures of mmcv's compiled module."""

import torch
import torchvision
from torch import Tensor


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that no better one overlaps by more than the threshold, best first.

    Args:
        bboxes: (N, 4) corners x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: the highest IoU of two boxes that are both kept.
        offset: what is added to widths and heights; 1 where corners are the indices of pixels.
    """
    # Half precision is too coarse for the IoU of boxes that batched_nms has moved apart.
    dtype = torch.float64 if torch.float64 in (bboxes.dtype, scores.dtype) else torch.float32
    bboxes = bboxes.to(dtype) + torch.tensor([0, 0, offset, offset], dtype=dtype, device=bboxes.device)
    return torchvision.ops.nms(bboxes, scores.to(dtype), iou_threshold)
