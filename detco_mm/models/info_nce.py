"""The InfoNCE loss and its gradient in one streaming pass over the queue.

InfoNCE over a queue is attention with keys = values = queue: the softmax-weighted sum of the negatives *is* the
gradient with respect to the query. So one pass over the queue in chunks yields loss, gradient and contrast accuracy,
and nothing of size N x K is kept for the backward pass.
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Keys taken at a time: enough for an efficient product, and so few that N x CHUNK logits stay in a CPU's cache.
CHUNK, LEAST_CHUNK, CACHED = 4096, 1024, 2**18


class _InfoNCE(torch.autograd.Function):
    """Loss of each query; the gradient is made in the forward pass and scaled in the backward pass."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        # Logits are in powers of 2, not of e: on a CPU, PyTorch's exp2 takes a third of the time of its exp.
        scaled = query * (math.log2(math.e) / temperature)
        positive = (scaled * key).sum(1)
        # Online softmax: `peak` is the largest logit so far, and both sums are relative to it.
        peak = positive.clone()
        total = torch.ones_like(positive)
        weighted = key.clone()
        strongest = torch.full_like(positive, -torch.inf)
        for stored in queue.split(min(CHUNK, max(LEAST_CHUNK, CACHED // max(len(query), 1)))):
            negatives = stored.to(query.dtype)  # as it is, unless the queue is in half precision
            logits = scaled @ negatives.T
            torch.maximum(strongest, logits.amax(1), out=strongest)
            new_peak = torch.maximum(peak, strongest)
            rescale = (peak - new_peak).exp2_()
            weights = logits.sub_(new_peak[:, None]).exp2_()
            total.mul_(rescale).add_(weights.sum(1))
            weighted.mul_(rescale[:, None]).add_(weights @ negatives)
            peak = new_peak
        loss = (peak + total.log2() - positive) * math.log(2)
        ctx.save_for_backward((weighted / total[:, None] - key) / temperature)
        hit = positive > strongest
        ctx.mark_non_differentiable(hit)
        return loss, hit

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss: Tensor, grad_hit: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_loss[:, None], None, None, None


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Contrast each query with its key against all keys of a queue.

    Computed in the queue's precision, whatever autocast says, and in float32 where that is a half type, chunk by chunk:
    a softmax over 65536 keys does not bear half precision.

    Args:
        query: (N, D) unit vectors; the gradient flows to these alone.
        key: (N, D) unit vectors, the positive of each query.
        queue: (K, D) unit vectors, the negatives; read only, never copied.
        temperature: divides the cosine similarities; above 0.

    Returns:
        loss: (N,) the negative log-probability of the positive among 1 + K candidates, in nats.
        hit: (N,) bool, whether the positive beats every negative.

    Source: DetCo (arXiv 2102.04803), equations 2 to 4; MoCo, equation 1.
    """
    with torch.autocast(query.device.type, enabled=False):
        dtype = torch.promote_types(queue.dtype, torch.float32)
        return _InfoNCE.apply(query.to(dtype), key.detach().to(dtype), queue, temperature)
