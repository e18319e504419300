"""A backbone in the file formats of other libraries."""

import io
import json
import pickle
import re
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

SUFFIXES = ('.pth', '.safetensors', '.pkl')


def to_detectron2(name: str) -> str:
    """Give a weight of a ResNet, which has torchvision's name, that of detectron2.

    Source: detectron2, ``tools/convert-torchvision-to-d2.py``.
    """
    if not name.startswith('layer'):
        name = f'stem.{name}'
    name = re.sub(r'^layer([1-4])\.', lambda found: f'res{int(found[1]) + 1}.', name)
    name = re.sub(r'\bbn([1-3])\.', r'conv\1.norm.', name)
    return name.replace('downsample.0.', 'shortcut.').replace('downsample.1.', 'shortcut.norm.')


def encoded(state_dict: Mapping[str, Tensor], meta: Mapping[str, Any], suffix: str, to: str) -> bytes:
    """Write a state dict as the bytes of a file.

    Args:
        state_dict: the tensors, by the target's names.
        meta: plain values about them.
        suffix: '.pth', a torch file; '.safetensors', with `meta` as JSON in its header; '.pkl', a pickle of arrays,
            detectron2's own format.
        to: the library; detectron2 expects the tensors below 'model', the others below 'state_dict'.

    Raises:
        ValueError: for an unknown suffix, or a pickle for another library than detectron2.
    """
    if suffix not in SUFFIXES or (suffix == '.pkl' and to != 'detectron2'):
        raise ValueError(f'a file that ends in "{suffix}" for {to}: write .pth or .safetensors, or .pkl for detectron2')
    if suffix == '.safetensors':
        whole = {name: tensor.contiguous() for name, tensor in state_dict.items()}
        return safetensors.torch.save(whole, {'format': 'pt', 'meta': json.dumps(dict(meta))})
    if to != 'detectron2':
        content: dict[str, Any] = dict(state_dict=dict(state_dict), meta=dict(meta))
    else:
        # Its loader fits the names to the model at hand where it is asked for matching_heuristics.
        content = dict(model=dict(state_dict), __author__='detco_mm', matching_heuristics=True, meta=dict(meta))
    if suffix == '.pkl':
        content['model'] = {name: tensor.numpy() for name, tensor in state_dict.items()}
        return pickle.dumps(content)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
