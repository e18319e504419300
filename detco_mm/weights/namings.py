"""The names under which libraries keep one and the same network."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from .released import detectron2_names

#: Counters of BN, on which nothing depends at a fixed momentum; files older than PyTorch 0.4.1 lack them.
COUNTER = 'num_batches_tracked'


def namings(tensors: dict[str, Tensor], wanted: Mapping[str, Any]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors of a file by their own names, and by those that they would have in other libraries.

    Args:
        tensors: of the file.
        wanted: names of the module that they may be for.
    """
    yield tensors
    for rename in (detectron2_names, _deep_stem, _reference_projections):
        renamed = {rename(name): tensor for name, tensor in tensors.items()}
        if renamed.keys() != tensors.keys():
            yield renamed
    if numbered := _numbered(tensors, wanted):
        yield numbered


def as_common(name: str) -> str:
    """Write a name without what wrappers add: torch.compile, MMClassification's timm wrapper, timm's flat stages."""
    name = name.replace('_orig_mod.', '').removeprefix('timm_model.')
    return re.sub(r'\bstages_(\d+)\.', r'stages.\1.', name)


def _numbered(tensors: dict[str, Tensor], wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    """Give the numbered children of an ``nn.Sequential`` the names of the module's children, in their order.

    lightly and many scripts write ``nn.Sequential(*list(resnet.children())[:-1])``, so that layer1 becomes 4.
    """
    children = list(dict.fromkeys(name.split('.')[0] for name in wanted))
    numbers: dict[str, set[int]] = defaultdict(set)
    places = {}
    for name in tensors:
        places[name] = [number for number in re.finditer(r'(?:^|(?<=\.))\d+(?=\.)', name)]
        for number in places[name]:
            numbers[name[: number.start()]].add(int(number[0]))
    rows = {
        prefix: dict(zip(sorted(found), children, strict=False))
        for prefix, found in numbers.items()
        if len(found) >= len(children)
    }
    if not rows:
        return {}
    renamed = {}
    for name, tensor in tensors.items():
        for number in places[name]:  # from the outermost on
            prefix = name[: number.start()]
            if prefix in rows:
                name = f'{prefix}{rows[prefix].get(int(number[0]), number[0])}{name[number.end() :]}'
                break
        renamed[name] = tensor
    return renamed


def _deep_stem(name: str) -> str:
    """Name the deep stem of timm's ``resnet50d``, and of MMClassification's ResNetV1d, as MMDetection's does."""
    places = {'conv': 0, 'bn': 1}  # of three: the last has no weights
    flat = re.sub(r'(^|\.)stem\.(\d)\.(conv|bn)\.', lambda m: f'{m[1]}stem.{3 * int(m[2]) + places[m[3]]}.', name)
    if flat != name:
        return flat
    name = re.sub(r'(^|\.)conv1\.(\d)\.', r'\1stem.\2.', name)
    return re.sub(r'(^|(?<=[^\d]\.))bn1\.(?=\w+$)', 'stem.7.', name)  # not that of a block, behind a number


def _reference_projections(name: str) -> str:
    """Name the projections of the reference (DetCo.pytorch) as DetCoNeck does."""
    return re.sub(
        r'(global|local)_mlps\.([0-3])\.mlp\.',
        lambda found: f'projections.{found[1]}.res{int(found[2]) + 2}.',
        name,
    )
