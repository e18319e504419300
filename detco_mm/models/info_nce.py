"""The InfoNCE loss and its gradient in one streaming pass over the queues.

InfoNCE over a queue is attention with keys = values = queue: the softmax-weighted sum of the negatives *is* the
gradient with respect to the query. So one pass over the queue in chunks yields loss, gradient and contrast accuracy,
and nothing of size N x K is kept for the backward pass.

On a CPU the stages pass one by one, in chunks that stay in its cache. Elsewhere each operation costs a launch: all
stages pass together, in chunks as large as a bound on memory allows.
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import full_precision

# On a CPU, keys taken at a time: enough for an efficient product, and so few that Q x CHUNK logits stay in its cache.
CHUNK, MIN_CHUNK, CACHED = 4096, 1024, 2**18
#: Elsewhere, numbers in the largest tensor of a pass, the logits of a chunk of all stages: 256 MiB in float32. A queue
#: in half precision is converted by the same chunks, into no more.
HELD = 2**26


def chunk_length(query: Tensor) -> int:
    """How many keys of each queue are taken at a time.

    Args:
        query: (Q, D) or (S, Q, D).
    """
    rows, dim = query.shape[-2:]
    if query.device.type == 'cpu':
        return min(CHUNK, max(MIN_CHUNK, CACHED // max(rows, 1)))
    return max(MIN_CHUNK, HELD // max(query.shape[:-2].numel() * max(rows, dim), 1))


def stream(query: Tensor, key: Tensor, queue: Tensor, temperature: float, chunk: int) -> tuple[Tensor, Tensor, Tensor]:
    """Go once through a queue, or through S at a time.

    Args:
        query: (Q, D) or (S, Q, D).
        key: as the queries.
        queue: (K, D) or (S, K, D).
        temperature: divides the similarities.
        chunk: keys taken at a time.

    Returns:
        The loss and whether the key beats the queue, (Q,) or (S, Q); the loss's gradient, as the queries.
    """
    # Logits are in powers of 2, not of e: on a CPU, PyTorch's exp2 takes a third of the time of its exp.
    scaled = query * (math.log2(math.e) / temperature)
    positive = (scaled * key).sum(-1)
    # Online softmax: `peak` is the largest logit so far, and both sums are relative to it.
    peak = positive.clone()
    total = torch.ones_like(positive)
    weighted = key.clone()
    strongest = torch.full_like(positive, -torch.inf)
    for stored in queue.split(chunk, dim=-2):
        negatives = stored.to(query.dtype)  # as it is, unless the queue is in half precision
        logits = scaled @ negatives.mT
        torch.maximum(strongest, logits.amax(-1), out=strongest)
        new_peak = torch.maximum(peak, strongest)
        rescale = (peak - new_peak).exp2_()
        weights = logits.sub_(new_peak[..., None]).exp2_()
        total.mul_(rescale).add_(weights.sum(-1))
        weighted.mul_(rescale[..., None]).add_(weights @ negatives)
        peak = new_peak
    loss = (peak + total.log2() - positive) * math.log(2)
    return loss, positive > strongest, (weighted / total[..., None] - key) / temperature


class _InfoNCE(torch.autograd.Function):
    """Loss of each query; the gradient is made in the forward pass and scaled in the backward pass."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        chunk = chunk_length(query)
        if query.ndim == 3 and query.device.type == 'cpu':
            stages = [stream(*stage, temperature, chunk) for stage in zip(query, key, queue, strict=True)]
            loss, hit, gradient = (torch.stack(results) for results in zip(*stages, strict=True))
        else:
            loss, hit, gradient = stream(query, key, queue, temperature, chunk)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(hit)
        return loss, hit

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_loss: Tensor, grad_hit: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_loss[..., None], None, None, None


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Contrast each query with its key against all keys of a queue, in S queues at a time.

    Computed in the queue's precision, whatever autocast says, and in float32 where that is a half type, chunk by chunk:
    a softmax over 65536 keys does not bear half precision.

    Memory: beyond what it returns and a gradient as large as the queries, on a CPU 1 MiB of logits, or 4 KiB a query
    where there are more than 256; elsewhere 256 MiB, or 4 S KiB a query where that is more; as much again for a queue
    in half precision.

    Args:
        query: (S, Q, D) unit vectors, or (Q, D) for a single queue; the gradient flows to these alone.
        key: as the queries, the positive of each.
        queue: (S, K, D) unit vectors, or (K, D), the negatives; read only, never copied.
        temperature: divides the cosine similarities; above 0.

    Returns:
        loss: (S, Q), or (Q,), the negative log-probability of the positive among 1 + K candidates, in nats.
        hit: bool, as the loss, whether the positive beats every negative.

    Source: DetCo (arXiv 2102.04803), equations 2 to 4; MoCo, equation 1.
    """
    with full_precision(query.device):
        dtype = torch.promote_types(queue.dtype, torch.float32)
        return _InfoNCE.apply(query.to(dtype), key.detach().to(dtype), queue, temperature)
