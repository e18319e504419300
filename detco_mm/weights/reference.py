"""The unofficial implementation's checkpoints -> DetCo's, to go on from them or to compare."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_ENCODERS = {'encoder_q.': ('backbone.', 'neck.'), 'encoder_k.': ('key_encoder.backbone.', 'key_encoder.neck.')}
_PROJECTION = re.compile(r'(global|local)_mlps\.([0-3])\.mlp\.(.+)')
# The reference lists its stages a second time, so each of their tensors has two names.
_ALIAS = re.compile(r'layers\.([0-3])\.(.+)')


def from_reference(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """Rename a state dict of shuuchen/DetCo.pytorch into one that `DetCo` loads strictly.

    The model to load it into has ``neck.local_projection='joint'``, all three pairs, all four stages, and the queue
    length and backbone of the reference's run: ``configs/ablations/reference_r50_8xb32.py``.

    Args:
        state_dict: ``encoder_q.*``, ``encoder_k.*``, ``queue`` (8, D, K) and ``queue_ptr`` (1,), also with DDP's
            prefix ``module.``, or the checkpoint dict that holds it.

    Returns:
        ``backbone.*``, ``neck.*``, ``key_encoder.*``, ``queue.keys`` (8, K, D) and ``queue.pointer`` ().

    Raises:
        ValueError: if a tensor has no place, one that is needed is not there, or the queue is not (8, D, K).
    """
    named = state_dict.get('state_dict', state_dict)
    converted: dict[str, Tensor] = {}
    unknown: list[str] = []
    for full_name, tensor in named.items():
        name = full_name.removeprefix('module.')
        if name == 'queue':
            if tensor.ndim != 3 or len(tensor) != 8:
                raise ValueError(
                    f'queue of shape {tuple(tensor.shape)}: the reference has (8, D, K), four global rows and four '
                    'local ones; is it a checkpoint of MoCo?'
                )
            converted['queue.keys'] = tensor.transpose(1, 2).contiguous()
        elif name == 'queue_ptr':
            converted['queue.pointer'] = tensor.reshape(()).long()
        elif prefix := next((p for p in _ENCODERS if name.startswith(p)), None):
            own, backbone, neck = name[len(prefix) :], *_ENCODERS[prefix]
            if alias := _ALIAS.fullmatch(own):
                converted.setdefault(f'{backbone}layer{int(alias[1]) + 1}.{alias[2]}', tensor)
            elif projection := _PROJECTION.fullmatch(own):
                scope, stage, rest = projection.groups()
                converted[f'{neck}projections.{scope}.res{int(stage) + 2}.{rest}'] = tensor
            else:
                converted[f'{backbone}{own}'] = tensor
        else:
            unknown.append(full_name)
    missing = [
        name
        for name in ('queue.keys', 'queue.pointer', 'backbone.conv1.weight', 'key_encoder.backbone.conv1.weight')
        if name not in converted
    ]
    if unknown or missing:
        raise ValueError(
            "this is no state dict of the reference implementation's DetCo: "
            + '; '.join(
                f'{what} {", ".join(names[:4])}{", ..." if len(names) > 4 else ""}'
                for what, names in (('no place for', unknown), ('nothing for', missing))
                if names
            )
        )
    return converted
