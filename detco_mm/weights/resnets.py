"""ResNets by the names and shapes of their weights: ResNet, ResNeXt, wide ResNet, and V1d with its deep stem."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .namings import COUNTER, as_common, namings
from .recognition import dicts_of_tensors

#: He et al., Deep Residual Learning, table 1: blocks of each stage, and whether they are bottlenecks.
DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}
#: (depth, groups, width) -> its name in torchvision and timm.
NAMES = {
    (18, 1, 64): 'resnet18',
    (34, 1, 64): 'resnet34',
    (50, 1, 64): 'resnet50',
    (101, 1, 64): 'resnet101',
    (152, 1, 64): 'resnet152',
    (50, 32, 128): 'resnext50_32x4d',
    (101, 32, 256): 'resnext101_32x8d',
    (101, 64, 256): 'resnext101_64x4d',
    (50, 1, 128): 'wide_resnet50_2',
    (101, 1, 128): 'wide_resnet101_2',
}


@dataclass(frozen=True)
class ResNetShape:
    """What tells one ResNet from another.

    Args:
        depth: as in its name.
        in_channels: of the image.
        stem: channels behind the stem.
        width: channels of the 3 x 3 convolutions of the first stage.
        out: channels that the first stage returns.
        groups: of the 3 x 3 convolutions.
        deep: V1d: three convolutions in the stem, and a pooling before the convolution of a shortcut.
    """

    depth: int = 18
    in_channels: int = 3
    stem: int = 64
    width: int = 64
    out: int = 64
    groups: int = 1
    deep: bool = False

    @property
    def bottleneck(self) -> bool:
        """Whether its blocks have three convolutions."""
        return self.depth >= 50

    @property
    def expansion(self) -> int:
        """How many times as many channels a block returns as its 3 x 3 convolution, without groups."""
        return self.out // self.width

    def table(self, detectron2: bool = False) -> dict[str, tuple[int, ...]]:
        """List its weights, counters of BN apart: name -> shape.

        Args:
            detectron2: by the names of detectron2's ResNet, and not by those of MMDetection, torchvision and timm.
        """
        return dict(self._weights(detectron2))

    def _weights(self, detectron2: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
        stem = 'stem.conv1' if detectron2 else 'conv1'
        if self.deep:
            half = self.stem // 2
            yield from _conv('stem.0', 'stem.1', half, self.in_channels, 3)
            yield from _conv('stem.3', 'stem.4', half, half, 3)
            yield from _conv('stem.6', 'stem.7', self.stem, half, 3)
        else:
            yield from _conv(stem, f'{stem}.norm' if detectron2 else 'bn1', self.stem, self.in_channels, 7)
        inputs, blocks = self.stem, next(blocks for (blocks, _), depth in DEPTHS.items() if depth == self.depth)
        for stage, count in enumerate(blocks):
            width, out = self.width * 2**stage, self.out * 2**stage
            for block in range(count):
                name = f'res{stage + 2}.{block}' if detectron2 else f'layer{stage + 1}.{block}'
                convolutions = [(width, inputs, 3), (out, width, 3)]
                if self.bottleneck:
                    convolutions = [(width, inputs, 1), (width, width // self.groups, 3), (out, width, 1)]
                for at, sizes in enumerate(convolutions, 1):
                    convolution = f'{name}.conv{at}'
                    yield from _conv(convolution, f'{convolution}.norm' if detectron2 else f'{name}.bn{at}', *sizes)
                if block == 0 and (stage or inputs != out):
                    first = 1 if self.deep else 0  # behind a pooling
                    convolution = f'{name}.shortcut' if detectron2 else f'{name}.downsample.{first}'
                    norm = f'{convolution}.norm' if detectron2 else f'{name}.downsample.{first + 1}'
                    yield from _conv(convolution, norm, out, inputs, 1)
                inputs = out


def _conv(name: str, norm: str, out: int, inputs: int, side: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """List a convolution and its BN."""
    yield f'{name}.weight', (out, inputs, side, side)
    for part in ('weight', 'bias', 'running_mean', 'running_var'):
        yield f'{norm}.{part}', (out,)


def shape_of(weights: Mapping[str, Tensor]) -> ResNetShape | None:
    """Tell which ResNet some weights are of, by whatever names of it.

    Args:
        weights: of a whole backbone, and of nothing else.

    Returns:
        None if they are of anything else: other stages, other layers, norms of another kind.
    """
    common = {as_common(name): tensor for name, tensor in weights.items() if not name.endswith(COUNTER)}
    for named in namings(common, ResNetShape().table()):
        shape = _measured(named)
        if shape and shape.table() == {name: tuple(tensor.shape) for name, tensor in named.items()}:
            return shape
    return None


def shape_within(checkpoint: Mapping[str, Any]) -> ResNetShape | None:
    """Tell which ResNet lies in a file, below whatever prefix and beside whatever else."""
    for _, tensors in dicts_of_tensors(checkpoint):
        common = {as_common(name): tensor for name, tensor in tensors.items() if not name.endswith(COUNTER)}
        for named in namings(common, ResNetShape().table()):
            for prefix in (name.removesuffix(_FIRST) for name in named if name.endswith(_FIRST)):
                own = {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(prefix)}
                shape = _measured(own)
                if shape and all(tuple(getattr(own.get(n), 'shape', ())) == s for n, s in shape.table().items()):
                    return shape
    return None


_FIRST = 'layer1.0.conv1.weight'


def _measured(own: Mapping[str, Tensor]) -> ResNetShape | None:
    """Read a shape off some weights; whether all others agree is for the table to say."""
    bottleneck = 'layer1.0.conv3.weight' in own
    blocks = tuple(sum(f'layer{stage}.{at}.conv1.weight' in own for at in range(64)) for stage in range(1, 5))
    deep = 'stem.0.weight' in own
    first, last = ('stem.0.weight', 'stem.6.weight') if deep else ('conv1.weight', 'conv1.weight')
    middle, end = 'layer1.0.conv2.weight', f'layer1.0.conv{3 if bottleneck else 2}.weight'
    depth = DEPTHS.get((blocks, bottleneck))
    if depth is None or not all(getattr(own.get(name), 'ndim', 0) == 4 for name in (first, last, middle)):
        return None
    width = len(own[_FIRST])
    groups = width // own[middle].shape[1]
    return ResNetShape(depth, own[first].shape[1], len(own[last]), width, len(own[end]), groups, deep)
