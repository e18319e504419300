"""Overlaps and suppression of boxes, as mmcv's compiled module has them.

Boxes are corners x1, y1, x2, y2. ``offset`` is added to widths and heights: 1 where corners are indices of pixels.
"""

import numpy as np
import torch
import torchvision
from torch import Tensor


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that no better kept one overlaps by more than the threshold, best first.

    Args:
        bboxes: (N, 4).
        scores: (N,).
        iou_threshold: the highest IoU of two boxes that are both kept.
        offset: 0 or 1.
    """
    # Half precision is too coarse for boxes that batched_nms has moved apart.
    dtype = torch.float64 if torch.float64 in (bboxes.dtype, scores.dtype) else torch.float32
    bboxes = bboxes.to(dtype)
    if offset:
        bboxes = bboxes + torch.tensor([0, 0, offset, offset], dtype=dtype, device=bboxes.device)
    return torchvision.ops.nms(bboxes, scores.to(dtype), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes by how much better ones overlap them, and drop those that fall below the minimum.

    Args:
        boxes: (N, 4), on the CPU as everything here.
        scores: (N,).
        dets: (N, 5); its first K rows become the boxes and scores that are kept, best first.
        iou_threshold: the IoU from which methods 0 and 1 lower a score.
        sigma: of method 2, in squared IoU.
        min_score: boxes with less are dropped.
        method: a score is multiplied by 0 (0), by 1 - IoU (1), or by exp(-IoU^2 / sigma) (2).
        offset: 0 or 1.

    Returns:
        (K,) the indices of the boxes that are kept.

    Source: https://arxiv.org/abs/1704.04503, figure 2. Of equal scores the first comes first.
    """
    dtype = np.float64 if boxes.dtype == torch.float64 else np.float32
    corners, values = boxes.detach().double().numpy().astype(dtype), scores.detach().double().numpy().astype(dtype)
    left, kept = np.arange(len(values)), []
    while len(left):
        best = left[values[left].argmax()]
        kept.append(best)
        left = left[left != best]
        overlap = _iou(corners[best], corners[left], offset)
        if method == 2:
            weight = np.exp(-(overlap**2) / sigma)
        else:
            weight = np.where(overlap >= iou_threshold, 1 - overlap if method == 1 else 0, 1)
        values[left] *= weight
        left = left[values[left] >= min_score]
    indices = torch.tensor(kept, dtype=torch.long)
    dets[: len(kept), :4], dets[: len(kept), 4] = boxes[indices], torch.from_numpy(values)[indices].to(dets)
    return indices


def _iou(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """Return the IoU of a box (4,) with others (N, 4); 0 where neither has an area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]) + offset
    intersection = sides.clip(min=0).prod(axis=1)
    union = (box[2:] - box[:2] + offset).prod() + (others[:, 2:] - others[:, :2] + offset).prod(axis=1) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union != 0)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return groups of indices: a box that :func:`nms` keeps, then those that it suppresses, each by score.

    Args:
        dets: (N, 5) boxes and scores.
        iou_threshold: the IoU from which a box is suppressed.
    """
    left, groups = dets[:, 4].argsort(descending=True, stable=True), []
    while len(left):
        suppressed = torchvision.ops.box_iou(dets[left[:1], :4], dets[left, :4])[0] >= iou_threshold
        suppressed[0] = True
        groups.append(left[suppressed].tolist())
        left = left[~suppressed]
    return groups


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Write overlaps of boxes (M, 4) and (N, 4) into ``ious``, by mmcv's own plain PyTorch.

    Args:
        bboxes1: (M, 4).
        bboxes2: (N, 4).
        ious: (M, N), or (M,) if aligned.
        mode: 0 for intersections over unions, 1 for intersections over the areas of the first boxes.
        aligned: each box with the other's of the same index.
        offset: 0 or 1.
    """
    from mmcv.ops.bbox import _bbox_overlaps_cpu  # mmcv.ops is imported once this package is

    ious.copy_(_bbox_overlaps_cpu(bboxes1, bboxes2, ('iou', 'iof')[mode], aligned, offset))
