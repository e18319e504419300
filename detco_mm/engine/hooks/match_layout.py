"""MatchLayout: a resumed optimizer's state in the layout of the weights it belongs to."""

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from detco_mm.registry import HOOKS


@HOOKS.register_module()
class MatchLayout(Hook):
    """Lay momentum out as its weight is, when a run goes on with another `channels_last` than it was stopped with.

    PyTorch's optimizers take over their state as a file has it, and the fused ones of PyTorch 2.14 go through weight,
    gradient and momentum in the order of memory: on the CPU, each weight then moves by the momentum of another one.
    """

    def before_train(self, runner: Runner) -> None:
        """Lay it out; the checkpoint was loaded before."""
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        for weight, state in optimizer.state.items() if optimizer else ():
            for name, value in state.items():
                if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                    state[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
