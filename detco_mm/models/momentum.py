"""The key encoder: an exponential moving average of the query encoder."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class MomentumEncoder(nn.Module):
    """A copy of backbone and neck that follows the query's slowly and never receives a gradient.

    Only parameters are averaged; BN's running statistics are the key encoder's own, as in MoCo's code.

    Args:
        backbone: the query's backbone, copied.
        neck: the query's neck, copied.
        momentum: m, the share of its own weights that the key encoder keeps at each update, in [0, 1].

    Raises:
        ValueError: if momentum is outside [0, 1].

    Source: MoCo, equation 2.
    """

    def __init__(self, backbone: nn.Module, neck: nn.Module, momentum: float) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(
                f'momentum={momentum}: it is the share of its weights that the key encoder keeps, '
                "between 0 and 1; the paper's is 0.999"
            )
        self.momentum = momentum
        self.backbone = copy.deepcopy(backbone)
        self.neck = copy.deepcopy(neck)
        self.requires_grad_(False)

    def _pairs(self, backbone: nn.Module, neck: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(self.backbone.parameters(), backbone.parameters(), strict=True)
        yield from zip(self.neck.parameters(), neck.parameters(), strict=True)

    @torch.no_grad()
    def update(self, backbone: nn.Module, neck: nn.Module) -> None:
        """key = m * key + (1 - m) * query, for all parameters in one multi-tensor operation."""
        own, query = zip(*self._pairs(backbone, neck), strict=True)
        get_ema_multi_avg_fn(self.momentum)(own, query, None)

    @torch.no_grad()
    def copy_from(self, backbone: nn.Module, neck: nn.Module) -> None:
        """Take over all weights and BN statistics, as at the start of a run."""
        self.backbone.load_state_dict(backbone.state_dict())
        self.neck.load_state_dict(neck.state_dict())
