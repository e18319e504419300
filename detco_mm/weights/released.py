"""Backbones that others released: the authors' DetCo, MoCo, torchvision's -> the names of MMDetection's ResNet."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

# Query encoders as they are called elsewhere: DDP, OpenSelfSup and MMSelfSup, MoCo.
_PREFIXES = ('module.', 'backbone.', 'encoder_q.')
_STEM = re.compile(r'(conv1|bn1)\.')
_BACKBONE = re.compile(r'(conv1|bn1|layer[1-4])\.')
# detectron2's names, as the authors' conversion script and MoCo's write them
_DETECTRON2 = (
    (re.compile(r'^stem\.'), ''),
    (re.compile(r'^res([2-5])\.'), lambda found: f'layer{int(found[1]) - 1}.'),
    (re.compile(r'conv([1-3])\.norm\.'), r'bn\1.'),
    (re.compile(r'shortcut\.norm\.'), 'downsample.1.'),
    (re.compile(r'shortcut\.'), 'downsample.0.'),
)


def detectron2_names(name: str) -> str:
    """Turn a name of detectron2's ResNet into torchvision's; others stay as they are."""
    for pattern, replacement in _DETECTRON2:
        name = pattern.sub(replacement, name)
    return name


def from_released(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Find the weights of a ResNet in a checkpoint from elsewhere.

    Understood are torchvision's names, which the authors' files have, and detectron2's, into which their script
    converts them; bare, below `state_dict` or `model`, with the prefix of DDP, of OpenSelfSup or of MoCo's query
    encoder. Heads and everything else are left out.

    Args:
        checkpoint: what `load_checkpoint` returns.

    Returns:
        Tensors by the names that torchvision, MMSelfSup and MMDetection share; empty if there is no ResNet.

    Source: the authors' repository, ``benchmarks/detection/convert-pretrain-to-detectron2.py``.
    """
    named = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    backbone: dict[str, Tensor] = {}
    for full_name, value in named.items() if isinstance(named, Mapping) else ():
        name = str(full_name)
        # MoCo's checkpoints stack two of them: module.encoder_q.conv1.weight
        while prefix := next((p for p in _PREFIXES if name.startswith(p)), ''):
            name = name[len(prefix) :]
        name = detectron2_names(name)
        if _BACKBONE.match(name):
            backbone[name] = value if isinstance(value, Tensor) else torch.as_tensor(value)
    if not any(_STEM.match(name) for name in backbone):
        return {}
    for name in [name for name in backbone if name.endswith('.running_mean')]:
        # Files older than PyTorch 0.4.1 lack this counter, on which nothing depends at a fixed momentum.
        backbone.setdefault(name.replace('running_mean', 'num_batches_tracked'), torch.tensor(0))
    return backbone
