"""How DetCo meets a backbone of four maps: what it returns, and which of its weights a loss reaches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from detco_mm.registry import STAGES

STRIDES = (4, 8, 16, 32)
#: Side of the image of a dry run, in pixels: twice the largest stride, so that the last map still has a neighbourhood.
SIDE = 64


def dry_run(backbone: nn.Module, channels: int = 3, side: int = SIDE) -> list[Tensor]:
    """Send one image of zeros through a backbone, which is left as it was: mode, statistics, random numbers.

    Args:
        backbone: on any device, the meta device among them.
        channels: of the image.
        side: of the image, in pixels.

    Returns:
        What it returns, with its graph.

    Raises:
        ValueError: if the image is too small for it, or has another number of channels than it takes.
    """
    weight = next(backbone.parameters())
    name = type(backbone).__name__
    with _aside(backbone), torch.enable_grad():
        try:
            # not __call__, which may be compiled
            maps = backbone.forward(torch.zeros(1, channels, side, side, device=weight.device, dtype=weight.dtype))
        except (RuntimeError, ValueError, AssertionError) as error:
            raise ValueError(
                f'{name} cannot take an image of {side} x {side} pixels with {channels} channels '
                f'({str(error).splitlines()[0] if str(error) else type(error).__name__}): give it larger views '
                '(global_size and local_size of DetCoViews, patch_size of JigsawPatches), or backbone.in_channels as '
                'many channels as data_preprocessor.mean has numbers'
            ) from error
    return list(maps) if isinstance(maps, list | tuple) else [maps]


def four_maps(backbone: nn.Module, channels: int = 3) -> list[Tensor]:
    """Find out what a backbone returns for an image of 64 pixels.

    Args:
        backbone: as for :func:`dry_run`.
        channels: of the image.

    Returns:
        Its four maps, each (1, C, h, w), with their graph.

    Raises:
        ValueError: if there are not four of strides 4, 8, 16 and 32.
    """
    maps, name = dry_run(backbone, channels), type(backbone).__name__
    wanted = f'model.backbone has to return four maps of strides {", ".join(map(str, STRIDES))}'
    if len(maps) != len(STAGES) or not all(isinstance(found, Tensor) and found.ndim == 4 for found in maps):
        raise ValueError(
            f'{name} returns {len(maps)} {"map" if len(maps) == 1 else "maps"}, and {wanted}: set its out_indices '
            '(most count from 0: (0, 1, 2, 3); classes that count the stem: (1, 2, 3, 4); through mmcls.TIMMBackbone '
            'features_only=True as well)'
        )
    strides = [tuple(-(-SIDE // length) for length in found.shape[2:]) for found in maps]
    if strides != [(stride, stride) for stride in STRIDES]:
        found_strides = ', '.join(f'{y}' if y == x else f'{y} x {x}' for y, x in strides)
        raise ValueError(
            f'{name} returns maps of strides {found_strides}, and {wanted}: choose other out_indices, and no dilation'
        )
    return maps


def freeze_unreached(module: nn.Module, outputs: Sequence[Tensor]) -> list[str]:
    """Freeze the weights of a module on which no output depends, so that DDP waits for none of them.

    Args:
        module: whose weights are looked at.
        outputs: with their graph.

    Returns:
        The names of those that were trained until now.
    """
    reached = set(_weights_of(outputs))
    frozen = [name for name, weight in module.named_parameters() if weight.requires_grad and weight not in reached]
    weights = dict(module.named_parameters())
    for name in frozen:
        weights[name].requires_grad_(False)
    return frozen


def _weights_of(outputs: Sequence[Tensor]) -> Iterator[Tensor]:
    """Walk the graph of some outputs down to the weights that they depend on."""
    waiting = [output.grad_fn for output in outputs if output.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if (weight := getattr(node, 'variable', None)) is not None:  # autograd's AccumulateGrad
            yield weight
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)


@contextmanager
def _aside(backbone: nn.Module) -> Iterator[None]:
    """Have a backbone in evaluation mode and without gradient checkpointing, which hides weights from the graph."""
    modules: list[Any] = list(backbone.modules())
    training = [module.training for module in modules]
    checkpointing = [module for module in modules if getattr(module, 'with_cp', False)]
    try:
        for module in modules:
            module.training = False
        for module in checkpointing:
            module.with_cp = False
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module, mode in zip(modules, training, strict=True):
            module.training = mode
        for module in checkpointing:
            module.with_cp = True
