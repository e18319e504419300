"""BFloat16OptimWrapper: bf16 autocast on any device.

MMEngine's AmpOptimWrapper refuses to be built without a GPU, and scales losses for fp16's sake. bf16 has the range of
float32: it needs no scaling, and CPUs that have instructions for it train ResNets about twice as fast in it. Where they
are missing PyTorch emulates it, and a step of configs/mini/detco_r18.py took minutes instead of a second (PyTorch
2.14.1, AVX2): there the wrapper trains in float32.

On the CPU, patches of 16 pixels or less give NaN in it with PyTorch 2.14.1: they reach the last stage as 1 x 1 maps,
and the gradient of its 3 x 3 convolution of stride 2 reads memory that nobody wrote. From 17 pixels on all is well.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from detco_mm.registry import OPTIM_WRAPPERS


def has_bfloat16() -> bool:
    """Whether the device computes in bf16 itself: any accelerator, and CPUs with instructions for it."""
    if get_device() != 'cpu' or not hasattr(torch.cpu, 'get_capabilities'):
        return True
    return any(present for name, present in torch.cpu.get_capabilities().items() if 'bf16' in name)


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """MMEngine's OptimWrapper with the forward pass under bf16 autocast; arguments as there.

    On a CPU without bf16 it is MMEngine's OptimWrapper, and says so.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._enabled = has_bfloat16()
        if not self._enabled:
            print_log('this CPU has no instructions for bf16: training in float32', logger='current')

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast the forward pass, as AmpOptimWrapper does."""
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16, enabled=self._enabled):
            yield
