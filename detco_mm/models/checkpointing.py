"""Gradient checkpointing inside a backbone that is called twice a step, on several ranks, and that has BN."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any

import torch.utils.checkpoint
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class GradientCheckpointing:
    """What OpenMMLab's ``with_cp=True`` needs in DetCo.

    OpenMMLab leaves PyTorch's variant of checkpointing open, and the default is the reentrant one: it marks weights
    ready within the backward pass, once a call, and DDP refuses a weight that is ready twice. The other variant has an
    ordinary graph. Also, each of them runs a part of the forward pass again, in which BN would count its batch twice.

    Args:
        backbone: looked through once, at the first step, when SyncBN has taken the place of BN where a run asks for it.
            Where no module has ``with_cp``, nothing is changed or slower.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._backbone = backbone

    @cached_property
    def active(self) -> bool:
        """Whether a part of the backbone is computed twice."""
        return any(getattr(module, 'with_cp', False) for module in self._backbone.modules())

    @cached_property
    def _norms(self) -> list[_BatchNorm]:
        return [module for module in self._backbone.modules() if isinstance(module, _BatchNorm)]

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Within it, PyTorch's checkpoint is not reentrant and leaves BN's running statistics to the first pass."""
        if not self.active:
            yield
            return
        original = torch.utils.checkpoint.checkpoint
        torch.utils.checkpoint.checkpoint = partial(self._checkpoint, original)
        try:
            yield
        finally:
            torch.utils.checkpoint.checkpoint = original

    def _checkpoint(self, original: Callable, function: Callable, *args: Any, **kwargs: Any) -> Any:
        kwargs |= dict(use_reentrant=False, context_fn=lambda: (nullcontext(), self._recomputing()))
        return original(function, *args, **kwargs)

    @contextmanager
    def _recomputing(self) -> Iterator[None]:
        """BN adds nothing to its running statistics; not by switching them off, for autograd keeps count of them."""
        before = [(norm.momentum, norm.num_batches_tracked) for norm in self._norms]
        for norm in self._norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        try:
            yield
        finally:
            for norm, (momentum, count) in zip(self._norms, before, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, count
