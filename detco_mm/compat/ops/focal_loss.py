"""Focal loss with class indices as targets, with the signatures of ``mmcv.ops``.

Source: https://arxiv.org/abs/1708.02002, equation 5. torchvision's wants targets as dense as the predictions, and its
gradient is not a number where gamma is below 1 and a prediction is certain.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss(
    input: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Tensor | None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Return the focal loss of every class against the rest.

    Args:
        input: (N, C) logits.
        target: (N,) classes; one that is not in [0, C) is the background.
        gamma: how much less what is well classified counts.
        alpha: the weight of the target's class; that of the others is 1 - alpha.
        weight: (C,) of each row, by its target's class; 1 for the background.
        reduction: 'none' for (N, C), 'sum', or 'mean' for the sum over N.
    """
    positive = target[:, None] == torch.arange(input.shape[1], device=input.device)
    logits = torch.where(positive, input, -input)
    share = torch.where(positive, alpha, 1 - alpha).to(input.dtype)
    # -log(p) * (1 - p)^gamma, where 1 - p = sigmoid(-logits)
    loss = -F.logsigmoid(logits) * (gamma * F.logsigmoid(-logits)).exp() * share
    if weight is not None:
        loss = loss * _of_targets(weight, target)[:, None]
    return _reduce(loss, reduction)


def softmax_focal_loss(
    input: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Tensor | None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Return the focal loss of the target's probability.

    Args:
        input: (N, C) logits.
        target: (N,) classes; the loss of a negative one is 0.
        gamma: how much less what is well classified counts.
        alpha: the weight of all.
        weight: (C,) of each row, by its target's class.
        reduction: 'none' for (N,), 'sum', or 'mean' for the sum over N.
    """
    logarithm = input.log_softmax(1).gather(1, target.clamp(min=0)[:, None])[:, 0]
    # A power below 1 has no gradient at 0.
    rest = (1 - logarithm.exp()).clamp(min=torch.finfo(input.dtype).tiny)
    loss = torch.where(target >= 0, -alpha * rest**gamma * logarithm, 0)
    if weight is not None:
        loss = loss * _of_targets(weight, target)
    return _reduce(loss, reduction)


def _of_targets(weight: Tensor, target: Tensor) -> Tensor:
    """Return the weight of each target's class (N,), 1 where it is none."""
    known = (target >= 0) & (target < len(weight))
    return torch.where(known, weight[target.clamp(0, len(weight) - 1)], 1)


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction not in ('none', 'mean', 'sum'):
        raise ValueError(f'reduction is "{reduction}": give "none", "mean" or "sum"')
    if reduction == 'none':
        return loss
    return loss.sum() / (len(loss) if reduction == 'mean' else 1)
