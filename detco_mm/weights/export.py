"""A pre-training checkpoint -> a backbone that MMDetection's ResNet loads."""

import hashlib
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from detco_mm.files import write_whole

from .reading import load_checkpoint
from .released import from_released

# Where a DetCo checkpoint keeps the two backbones. MMSelfSup's, MMDetection's and torchvision's ResNets share the names
# behind the prefix (conv1, bn1, layer1.0.conv1 ...).
PREFIXES = {'query': 'backbone.', 'key': 'key_encoder.backbone.'}


def digest(state_dict: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes of the weights, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach().cpu().contiguous()
        sha.update(f'{name} {tuple(tensor.shape)} {tensor.dtype}\n'.encode())
        sha.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def find_backbone(checkpoint: Mapping[str, Any], encoder: str = 'query') -> dict[str, Tensor]:
    """Find a backbone in any checkpoint: of a DetCo run, exported, or released by others.

    Args:
        checkpoint: what `load_checkpoint` returns.
        encoder: 'query' or 'key'; checkpoints from elsewhere have the former alone.

    Returns:
        Tensors by the names of MMDetection's ResNet.

    Raises:
        ValueError: if there is none.
    """
    if encoder not in PREFIXES:
        raise ValueError(f'encoder={encoder!r} is unknown: choose from {", ".join(PREFIXES)}')
    state_dict, prefix = checkpoint.get('state_dict', {}), PREFIXES[encoder]
    backbone = {name[len(prefix) :]: tensor for name, tensor in state_dict.items() if name.startswith(prefix)}
    if not backbone and encoder == 'query':
        backbone = from_released(checkpoint)
    if not backbone:
        raise ValueError(
            f'no weights below "{prefix}": is it a checkpoint of a DetCo run? '
            f'It starts with {", ".join(list(state_dict)[:3]) or "nothing"}'
        )
    return backbone


def export_backbone(checkpoint_path: str | Path, out_path: str | Path, encoder: str = 'query') -> dict[str, Any]:
    """Write one of the two backbones with the names that MMDetection expects.

    Args:
        checkpoint_path: a checkpoint of a pre-training run, or one from elsewhere that `from_released` understands.
        out_path: the file to write; it appears whole or not at all.
        encoder: 'query', the trained one, or 'key', its moving average.

    Returns:
        What was written: ``state_dict`` and ``meta`` (encoder, epoch, iteration, experiment, versions, SHA-256).

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it holds no such backbone.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    try:
        backbone = find_backbone(checkpoint, encoder)
    except ValueError as error:
        raise ValueError(f'"{checkpoint_path}": {error}') from None
    source = checkpoint.get('meta', {})
    meta = {
        key: source[key] for key in ('epoch', 'iter', 'experiment_name', 'mmengine_version', 'time') if key in source
    }
    meta |= dict(encoder=encoder, source=Path(checkpoint_path).name, sha256=digest(backbone))
    exported = dict(state_dict=backbone, meta=meta)
    buffer = io.BytesIO()
    torch.save(exported, buffer)
    write_whole(out_path, buffer.getvalue())
    return exported


def read_backbone(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of an exported backbone and check them against their SHA-256, if they carry one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not load safely, or was altered since it was written.
    """
    checkpoint = load_checkpoint(path)
    state_dict = checkpoint.get('state_dict', checkpoint)
    expected = checkpoint.get('meta', {}).get('sha256')
    if expected is not None and digest(state_dict) != expected:
        raise ValueError(
            f'the weights of "{path}" are not those that were exported (SHA-256 differs): export them again'
        )
    return state_dict


def load_backbone(config: Mapping[str, Any], path: str | Path | None = None) -> nn.Module:
    """Build a pre-training backbone with all four stages, to look at what it has learned.

    Args:
        config: `model.backbone` of a pre-training config.
        path: any checkpoint that holds a backbone; None leaves it as its initialisation draws it.

    Returns:
        The backbone in evaluation mode, on the CPU: (N, 3, H, W) -> the maps of res2..res5.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no backbone, or one that does not fit.
    """
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        backbone = MODELS.build(dict(config, out_indices=(1, 2, 3, 4)))
    if path is None:
        logger = MMLogger.get_current_instance()
        level = logger.level
        logger.setLevel(logging.WARNING)  # MMEngine reports how each tensor was drawn
        backbone.init_weights()
        logger.setLevel(level)
    else:
        weights = find_backbone(load_checkpoint(path))
        verify_backbone(weights, backbone)
        backbone.load_state_dict(weights)
    backbone.eval()
    return backbone


def verify_backbone(state_dict: Mapping[str, Tensor], backbone: nn.Module) -> None:
    """Make sure that weights fit a backbone: none missing, none unexpected, none of another shape.

    Args:
        state_dict: the weights, without a prefix.
        backbone: the module that they are for.

    Raises:
        ValueError: with a list of the keys that do not fit.
    """
    own = backbone.state_dict()
    problems = {
        'missing': [name for name in own if name not in state_dict],
        'unexpected': [name for name in state_dict if name not in own],
        'of another shape': [n for n in own if n in state_dict and own[n].shape != state_dict[n].shape],
    }
    found = {kind: names for kind, names in problems.items() if names}
    if found:
        lists = '; '.join(
            f'{len(names)} {kind} ({", ".join(names[:8])}{", ..." if len(names) > 8 else ""})'
            for kind, names in found.items()
        )
        raise ValueError(
            f'the weights do not fit this backbone, which would be left random: {lists}. '
            "Export them with tools/export_backbone.py, and match the config's depth"
        )
