"""Products with matrices of few rows, by oneDNN where a CPU has it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, '_linear_pointwise')


def _is_onednns(tensor: Tensor) -> bool:
    return _HAS_ONEDNN and tensor.device.type == 'cpu' and tensor.dtype == torch.float32


def times_transposed(left: Tensor, right: Tensor) -> Tensor:
    """Multiply (M, K) by the transpose of (N, K), both of one type, without a gradient.

    PyTorch gives a CPU's float32 products to MKL, which took 1.6 to 3.4 times as long as oneDNN on an AMD EPYC with 8
    to 128 rows (docs/performance.md). It has oneDNN for convolutions and for the code that it compiles, where this
    operator is from; there is no public name for it. The precision is the same.

    Returns:
        (M, N).
    """
    if _is_onednns(left):
        return torch.ops.mkldnn._linear_pointwise(left, right, None, 'none', [], '')
    return left @ right.T


class _Linear(torch.autograd.Function):
    """A linear layer whose three products are :func:`times_transposed`."""

    @staticmethod
    def forward(ctx, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        return times_transposed(inputs, weight).add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        inputs, weight = ctx.saved_tensors
        return times_transposed(gradient, weight.T), times_transposed(gradient.T, inputs.T), gradient.sum(0)


class Linear(nn.Linear):
    """PyTorch's linear layer with bias, the same weights and names, faster on a CPU."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(..., C) -> (..., D)."""
        if not _is_onednns(inputs):
            return F.linear(inputs, self.weight, self.bias)
        rows = inputs.reshape(-1, self.in_features)
        return _Linear.apply(rows, self.weight, self.bias).view(*inputs.shape[:-1], self.out_features)
