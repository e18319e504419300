"""Find a backbone in any file that holds one, by the names and shapes that it must have."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .namings import COUNTER, as_common, namings

#: How deep a dict of weights may lie in a checkpoint: lightly's and timm's lie one deep, DINO's two.
DEPTH = 3
#: The fewest tensors for which equal shapes in equal order are no accident: those of a ResNet-10.
MIN_IN_ORDER = 50
#: Where several networks of a file fit, the one that its method's authors evaluate is taken: DINO's teacher and timm's
#: EMA before what gradients trained, that before the averages that only make targets. MMEngine's ``ema_state_dict`` is
#: among the last, for its EMAHook swaps it with ``state_dict`` when it saves.
EVALUATED = re.compile(r'\bteacher|\b(state_dict_ema|model_ema|ema_model|ema)\b')
TARGETS_ONLY = re.compile(r'momentum|encoder_k|key_encoder|\btarget|ema_state_dict')

#: The first tensor of EfficientNet-PyTorch, whose weights TensorFlow trained: its strided convolutions pad more behind
#: an image than before it. The classes of timm, MMClassification and MMDetection that pad so.
TENSORFLOWS = '_conv_stem.weight'
PADS_AS_TENSORFLOW = {'Conv2dSame', 'Conv2dAdaptivePadding', 'Conv2dSamePadding'}


@dataclass(frozen=True)
class Found:
    """A backbone that was found.

    Args:
        weights: by the names of the backbone that was asked for, complete.
        place: where it lay, such as ``state_dict, below "module.encoder_q."``.
        left: names of what of that place was not taken, heads for instance.
        others: further places of the file that hold such a backbone.
    """

    weights: dict[str, Tensor]
    place: str
    left: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """Say what was taken from where, what was left, and what else it could have been."""
        said = f'{len(self.weights)} tensors from {self.place}'
        said += f'; left: {shortened(self.left)}' if self.left else ''
        return said + (f'; such weights are also in {shortened(self.others, 3)}' if self.others else '')


def recognise(checkpoint: Mapping[str, Any], module: nn.Module) -> Found:
    """Find the weights of a backbone, or of another module.

    Each dict of tensors in the file is compared with the module, under every prefix below which one of its weights
    lies, and by the other names that :mod:`.namings` knows. Where no names fit, tensors of the same kinds and shapes in
    the same order are taken, for libraries that name the layers of one network in their own way (EfficientNet-PyTorch).

    Args:
        checkpoint: what :func:`detco_mm.checkpoints.load_checkpoint` returns.
        module: whose weights are looked for, of any class.

    Returns:
        What was found. Of several networks that fit, EVALUATED and TARGETS_ONLY say which.

    Raises:
        ValueError: if nothing fits completely; it lists what the best place lacks. Also if the file continues rows of
            layers beyond their end, as a ResNet-34 does those of a ResNet-18, or if it is TensorFlow's and the module
            pads otherwise.
    """
    wanted = module.state_dict()
    needed = [name for name in wanted if not name.endswith(COUNTER)]
    candidates = [
        candidate
        for place, tensors in dicts_of_tensors(checkpoint)
        for named in namings(tensors, wanted)
        for candidate in _below_prefixes(place, named, wanted)
    ]
    complete = [candidate for candidate in candidates if all(name in candidate.weights for name in needed)]
    if not complete:
        in_order = (_in_order(place, tensors, wanted) for place, tensors in dicts_of_tensors(checkpoint))
        complete = [found for found in in_order if found]
        if any(TENSORFLOWS in found.place for found in complete):
            _check_padding(module)
    if not complete:
        raise ValueError(_complaint(checkpoint, candidates, needed, type(module).__name__))
    best = min(complete, key=lambda candidate: _rank(candidate.place))
    if longer := _continued(best.left, list(wanted)):
        raise ValueError(
            f'{best.place} has more layers than {type(module).__name__} ({shortened(longer)}), which would compute '
            "something else without them: set the backbone's depth to that of the file"
        )
    others = sorted({candidate.place for candidate in complete} - {best.place})
    counters = {name: torch.tensor(0) for name in wanted if name.endswith(COUNTER)}
    left = [name for name in best.left if not any(other in name for other in _prefixes(others))]
    return Found(counters | best.weights, best.place, left, others)


def dicts_of_tensors(node: Mapping[str, Any], place: str = '', depth: int = 0) -> Iterator[tuple[str, dict]]:
    """Yield every dict of tensors in a checkpoint, behind the name of where it lies."""
    tensors = {
        str(name): value if isinstance(value, Tensor) else torch.as_tensor(value)
        for name, value in node.items()
        if isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind in 'fiu')
    }
    if tensors:
        yield place, tensors
    for name, value in node.items():
        if isinstance(value, Mapping) and depth < DEPTH:
            yield from dicts_of_tensors(value, f'{place}.{name}' if place else str(name), depth + 1)


def _below_prefixes(place: str, tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[Found]:
    """Yield what fits below each prefix under which some weight of the module lies."""
    own = {as_common(name): name for name in wanted}
    given = {as_common(name): name for name in tensors}
    anchors = list(own)[:: max(1, len(own) // 8)]  # some weights from all over the network
    prefixes = {
        name[: len(name) - len(anchor)]
        for name in given
        for anchor in anchors
        if name == anchor or name.endswith(f'.{anchor}')
    }
    for prefix in sorted(prefixes):
        fitting = {
            target: tensors[given[prefix + name]]
            for name, target in own.items()
            if prefix + name in given and tensors[given[prefix + name]].shape == wanted[target].shape
        }
        left = [name for name in given if name.removeprefix(prefix) not in own and not name.endswith(COUNTER)]
        # names of the module's own first: they tell a deeper network
        left = sorted(left, key=lambda name: not name.startswith(prefix))
        where = ', '.join(part for part in (place, f'below "{prefix}"' if prefix else '') if part)
        yield Found(fitting, where or 'the file', [name.removeprefix(prefix) for name in left])


def _in_order(place: str, tensors: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> Found | None:
    """Take tensors by their order, if kind and shape of each agree."""
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTER)}
    own = {name: tensor for name, tensor in wanted.items() if not name.endswith(COUNTER)}
    if len(own) < MIN_IN_ORDER or len(given) < len(own):
        return None
    pairs = list(zip(own, given, strict=False))
    if any(
        own[mine].shape != given[theirs].shape or mine.rsplit('.', 1)[-1] != theirs.rsplit('.', 1)[-1]
        for mine, theirs in pairs
    ):
        return None
    where = f'{place or "the file"}, in the order of its tensors ({pairs[0][1]} as {pairs[0][0]} and so on)'
    return Found({mine: given[theirs] for mine, theirs in pairs}, where, list(given)[len(own) :])


def _check_padding(module: nn.Module) -> None:
    """Refuse a network into which TensorFlow's weights fit and in which they compute something else."""
    if not PADS_AS_TENSORFLOW & {type(part).__name__ for part in module.modules()}:
        raise ValueError(
            f'TensorFlow trained these weights ({TENSORFLOWS} ...), and {type(module).__name__} pads otherwise: take '
            "timm's network of the same name that begins with tf_, such as model_name='tf_efficientnet_lite0'"
        )


def _continued(left: list[str], own: list[str]) -> list[str]:
    """List names of layers behind the end of a row of layers.

    The rows that end the network are left out: what follows them computes nothing that it returns (the last blocks of
    timm's networks, where ``features_only`` stops before).
    """
    rows: dict[str, int] = defaultdict(int)
    for name in own:
        for number in re.finditer(r'(?<=\.)\d+(?=\.)', name):
            rows[name[: number.start()]] = max(rows[name[: number.start()]], int(number[0]))
    last = own[-1] if own else ''
    return [
        name
        for name in left
        for row, end in rows.items()
        if not last.startswith(row)
        and name.startswith(row)
        and (behind := re.match(r'\d+(?=\.)', name[len(row) :]))
        and int(behind[0]) > end
    ]


def _prefixes(places: list[str]) -> list[str]:
    return [found[1] for place in places if (found := re.search(r'below "(.+)"', place))]


def _rank(place: str) -> int:
    return 0 if EVALUATED.search(place) else 3 if TARGETS_ONLY.search(place) else 2 if 'student' in place else 1


def _complaint(checkpoint: Mapping[str, Any], candidates: list[Found], wanted: list[str], kind: str) -> str:
    if not candidates or not max(len(candidate.weights) for candidate in candidates):
        names = [name for _, tensors in dicts_of_tensors(checkpoint) for name in tensors]
        return (
            f'no weight of {kind} is in it: {kind} has {shortened(wanted)}; the file has '
            f'{shortened(names) or "no tensors"}'
        )
    best = max(candidates, key=lambda candidate: (len(candidate.weights), -_rank(candidate.place)))
    lacking = [name for name in wanted if name not in best.weights]
    if lacking == wanted[:1]:
        way_out = f'{lacking[0]} is for another number of channels: set the channels that the weights were trained on'
    else:
        way_out = 'is it the same network, depth and width?'
    return (
        f'{len(lacking)} of {len(wanted)} weights of {kind} are missing ({shortened(lacking)}) in {best.place}, or of '
        f'another shape, and would be left random; {way_out}'
    )


def shortened(names: list[str], most: int = 6) -> str:
    """Write the first few of a list, and how many more there are."""
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')
