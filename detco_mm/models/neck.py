"""DetCoNeck: stage maps -> unit vectors, one projection per (stage, scope)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from detco_mm.registry import MODELS, STAGES

from .precision import full_precision

SCOPES = ('global', 'local')
NUM_PATCHES = 9  # PIRL's jigsaw is a grid of 3 x 3


def _mlp(in_channels: int, hidden: int, out_channels: int) -> nn.Sequential:
    """MoCo v2's projection: Linear - ReLU - Linear."""
    return nn.Sequential(nn.Linear(in_channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, out_channels))


class _GlobalPool(torch.autograd.Function):
    """The mean of each map, (N, C, h, w) -> (N, C), whose gradient takes no memory.

    That of PyTorch's mean is as large as the maps and laid out as channels first whatever they are; here it is N x C
    numbers seen as so large. On a CPU, PyTorch's mean of half-precision maps also makes a float32 copy of them first,
    and average pooling does not: at 32 images, 4 ms and not 81.
    """

    @staticmethod
    def forward(ctx, maps: Tensor) -> Tensor:
        ctx.shape = maps.shape
        return F.avg_pool2d(maps, maps.shape[2:]).flatten(1) if maps.device.type == 'cpu' else maps.mean((2, 3))

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> Tensor:
        return (gradient / ctx.shape[2:].numel())[:, :, None, None].expand(ctx.shape)


class PerPatchProjection(nn.Module):
    """PIRL's projection: C-C-D for each patch with shared weights, then Linear(P * D, D) on the concatenation.

    Source: PIRL (arXiv 1912.01991), section 3.2, and VISSL's configuration of it.
    """

    def __init__(self, channels: int, out_channels: int, num_patches: int) -> None:
        super().__init__()
        self.patch = _mlp(channels, channels, out_channels)
        self.joined = nn.Linear(num_patches * out_channels, out_channels)
        self.num_patches = num_patches

    def forward(self, pooled: Tensor) -> Tensor:
        """(N, P * C) concatenated patch features -> (N, D)."""
        patches = pooled.view(len(pooled), self.num_patches, -1)
        return self.joined(self.patch(patches).flatten(1))


def _local_projection(kind: str, channels: int, out_channels: int, num_patches: int) -> nn.Module:
    joined = num_patches * channels
    if kind == 'compact':  # the plain reading of the paper
        return _mlp(joined, channels, out_channels)
    if kind == 'joint':  # the reference implementation's
        return _mlp(joined, joined, out_channels)
    if kind == 'per_patch':
        return PerPatchProjection(channels, out_channels, num_patches)
    raise ValueError(f"local_projection={kind!r} is unknown: choose 'compact', 'joint' or 'per_patch'")


@MODELS.register_module()
class DetCoNeck(BaseModule):
    """Project the pooled map of each stage to a unit vector.

    A global view is one map; a local view is P patches whose pooled features are concatenated. No weights are shared
    between stages, nor between scopes. ``DetCo`` sets `stages` and `scopes` to those that the head's pairs use.

    Args:
        in_channels: C of res2..res5, always all four; ``DetCo`` finds them where a config leaves them out.
        out_channels: D.
        local_projection: 'compact', Linear(P*C, C) - ReLU - Linear(C, D); 'joint', the reference's Linear(P*C, P*C) -
            ReLU - Linear(P*C, D); 'per_patch', PIRL's C-C-D per patch, then Linear(P*D, D).
        stages: the stages to project, in the order of the network.
        scopes: 'global', 'local' or both.
        num_patches: P.
        init_cfg: MMEngine's initialisation; None keeps PyTorch's, as MoCo v2 does.

    Raises:
        ValueError: for an unknown projection, stage or scope, or a number of channels other than four.

    Source: DetCo, section 3.3; MoCo v2, section 2 for the MLP.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (256, 512, 1024, 2048),
        out_channels: int = 128,
        local_projection: str = 'compact',
        stages: Sequence[str] = STAGES,
        scopes: Sequence[str] = SCOPES,
        num_patches: int = NUM_PATCHES,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != len(STAGES):
            raise ValueError(f'in_channels={tuple(in_channels)}: give one number for each of {", ".join(STAGES)}')
        for name, given, known in (('stage', stages, STAGES), ('scope', scopes, SCOPES)):
            for value in given:
                if value not in known:
                    raise ValueError(f'{name} {value!r} is unknown: choose from {", ".join(known)}')
        self.stages = tuple(stages)
        self.num_patches = num_patches
        self.out_channels = out_channels
        channels = dict(zip(STAGES, in_channels, strict=True))
        projections = {}
        if 'global' in scopes:
            projections['global'] = nn.ModuleDict(
                {stage: _mlp(channels[stage], channels[stage], out_channels) for stage in self.stages}
            )
        if 'local' in scopes:
            projections['local'] = nn.ModuleDict(
                {
                    stage: _local_projection(local_projection, channels[stage], out_channels, num_patches)
                    for stage in self.stages
                }
            )
        self.projections = nn.ModuleDict(projections)

    @staticmethod
    def pool(maps: Sequence[Tensor]) -> list[Tensor]:
        """Average each map, (N, C, h, w) -> (N, C, 1, 1), which :meth:`forward` takes in its place.

        So what was encoded in groups is projected as one batch, and the weights are read once.
        """
        with full_precision(maps[0].device):
            return [_GlobalPool.apply(stage_map)[:, :, None, None] for stage_map in maps]

    def forward(self, maps: Sequence[Tensor], scope: str) -> Tensor:
        """Project the maps of one view.

        Args:
            maps: for each stage (N, C, h, w) where scope is 'global', (N * P, C, h, w) where it is 'local', the
                patches of an image next to each other.
            scope: 'global' or 'local'.

        Returns:
            (S, N, D) unit vectors, in the precision of the weights, whatever autocast says.
        """
        vectors = []
        # Nearly all time goes into reading the weights, of which autocast would make half-precision copies first.
        with full_precision(maps[0].device):
            for stage, stage_map in zip(self.stages, maps, strict=True):
                projection = self.projections.get_submodule(f'{scope}.{stage}')
                pooled = _GlobalPool.apply(stage_map).to(next(projection.parameters()).dtype)
                if scope == 'local':
                    pooled = pooled.view(-1, self.num_patches * pooled.shape[1])
                vectors.append(projection(pooled))
            return F.normalize(torch.stack(vectors), dim=2)
