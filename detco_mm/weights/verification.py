"""An export is tried in the class that it is for: every weight loaded, the same maps of an image."""

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from .namings import COUNTER, as_common
from .recognition import recognise, shortened
from .sources import Source
from .targets import TARGETS, Network, network_for, order_of_targets

#: The largest difference of a map, as a share of its largest value, that float32 explains where the same sums are
#: taken in another order (measured: 0 to 2e-6).
TOLERANCE = 1e-4
#: Of the image, in pixels: three and four times the largest stride, so that height and width are told apart.
SIZE = (96, 128)


def verified(source: Source, to: str | None = None) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
    """Give a backbone the names of a library, and try it there.

    Args:
        source: the backbone in its own class.
        to: the library; by default the first of `order_of_targets` that has such a network.

    Returns:
        The weights by their new names; the library; what they were tried in: ``network``, and ``deviation``, the
        largest difference of a map as a share of its largest value, None where names and shapes were compared with a
        table.

    Raises:
        ValueError: if the library has no such network, or not the same maps; it says which libraries have.
    """
    if to is not None and to not in TARGETS:
        raise ValueError(f'target {to!r} is unknown: choose from {", ".join(TARGETS)}')
    if not all(torch.isfinite(found).all() for found in _maps(source)):
        raise ValueError('its maps are not finite: the training has diverged; export an earlier checkpoint')
    problems = {}
    for target in [to] if to else order_of_targets(source):
        try:
            return _tried(source, target)
        except ValueError as error:
            problems[target] = str(error)
    if to is None:
        reasons = '; '.join(f'{target}: {problem}' for target, problem in problems.items())
        raise ValueError(f'{source.name} cannot be written for any library: {reasons}')
    others = []
    for target in order_of_targets(source):
        with suppress(ValueError):
            others += [f'{target} ({_tried(source, target)[2]["network"]})'] if target != to else []
    raise ValueError(
        f'{source.name} cannot be written for {to}: {problems[to]}; it can for {", ".join(others) or "no library"}'
    )


def _tried(source: Source, target: str) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
    network = network_for(source, target)
    if network.build is None:
        return _compared_with_table(source, network), target, dict(network=network.name, deviation=None)
    module = network.build()
    found = recognise({'state_dict': source.weights}, module)
    if found.left:
        raise ValueError(f'{network.name} has no place for {shortened(found.left)}')
    weights = {name: found.weights[name] for name in module.state_dict()}
    module.load_state_dict(weights, strict=True)
    module.eval()
    deviation = _largest_deviation(source, network, module)
    if not deviation <= TOLERANCE:
        raise ValueError(
            f'{network.name} takes the weights and makes other maps of them: they differ by {deviation:.2g} of their '
            f'largest value, and {TOLERANCE:g} is allowed (padding, strides or norms of another kind)'
        )
    return weights, target, dict(network=network.name, deviation=deviation)


def _compared_with_table(source: Source, network: Network) -> dict[str, Tensor]:
    weights = {network.rename(as_common(name)): tensor for name, tensor in source.weights.items()}
    own = {name: tuple(tensor.shape) for name, tensor in weights.items() if not name.endswith(COUNTER)}
    if own != network.table:
        wrong = sorted({name for name, _ in own.items() ^ (network.table or {}).items()})
        raise ValueError(f'{network.name} has others than {shortened(wrong)}')
    return weights


@torch.no_grad()
def _largest_deviation(source: Source, network: Network, module: nn.Module) -> float:
    """Compare the maps of an image of noise, from the last one on, for some classes return the last ones alone."""
    largest, found = 0.0, network.maps(module, _image(source))
    for ours, theirs in zip(reversed(_maps(source)), reversed(found), strict=False):
        if ours.shape != theirs.shape:
            raise ValueError(f'{network.name} makes maps {tuple(theirs.shape)} where {tuple(ours.shape)} are meant')
        scale = float(ours.abs().max()) or 1.0
        largest = max(largest, float((ours - theirs).abs().max()) / scale)
    return largest


@torch.no_grad()
def _maps(source: Source) -> list[Tensor]:
    return source.maps(_image(source))


def _image(source: Source) -> Tensor:
    return torch.randn(1, source.channels, *SIZE, generator=torch.Generator().manual_seed(0))
