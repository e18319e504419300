"""A pre-training checkpoint -> a backbone that MMDetection, torchvision, detectron2 or timm loads."""

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from detco_mm.checkpoints.files import write_atomically
from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.registry import STAGES, with_four_maps
from detco_mm.version import __version__, commit

from .formats import encoded, renamed
from .recognition import recognise
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


def export_backbone(
    checkpoint_path: str | Path,
    out_path: str | Path,
    encoder: str = 'query',
    to: str = 'mmdet',
    statistics: Callable[[Mapping[str, Any], Mapping[str, Tensor]], tuple[dict[str, Tensor], str | None]] | None = None,
) -> dict[str, Any]:
    """Write one of the two backbones as another library expects it.

    Args:
        checkpoint_path: a checkpoint of a pre-training run, or one from elsewhere that `from_released` understands.
        out_path: the file to write, ending in .pth, .safetensors or, for detectron2, .pkl; it appears whole or not at
            all.
        encoder: 'query', the trained one, or 'key', its moving average.
        to: 'mmdet', 'torchvision', 'detectron2' or 'timm'.
        statistics: takes checkpoint and backbone, and returns the backbone with other BN statistics and what is said of
            them, such as :func:`detco_mm.engine.exported_bn.reestimated`. None leaves them as they are.

    Returns:
        What was written: ``state_dict`` and ``meta`` (target, encoder, source file, its config's name, epoch and
        iteration where known, the pixels it was trained on, what BN statistics were re-estimated on if they were,
        version and commit of this package, SHA-256 of the weights).

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it holds no such backbone, or the target or the file's ending is unknown.
    """
    checkpoint = load_checked(checkpoint_path)
    try:
        backbone = find_backbone(checkpoint, encoder)
    except ValueError as error:
        raise ValueError(f'"{checkpoint_path}": {error}') from None
    source = _meta(checkpoint)
    kept = ('epoch', 'iter', 'mmengine_version', 'time', 'pixels', 'bn_statistics')
    meta = {key: source[key] for key in kept if key in source}
    if statistics is not None:
        backbone, said = statistics(checkpoint, backbone)
        meta |= dict(bn_statistics=said) if said else {}
    state_dict = renamed(backbone, to)
    if 'experiment_name' in source:
        # MMEngine appends when the run began.
        meta['config'] = re.sub(r'_\d{8}_\d{6}$', '', source['experiment_name'])
    meta |= dict(to=to, encoder=encoder, source=Path(checkpoint_path).name)
    meta |= dict(detco_mm=__version__, commit=commit(), sha256=digest(state_dict))
    write_atomically(out_path, encoded(state_dict, meta, Path(out_path).suffix, to))
    return dict(state_dict=state_dict, meta=meta)


def _meta(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    found = checkpoint.get('meta', {})
    return found if isinstance(found, Mapping) else {}


def load_checked(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint; one that was exported has to have the SHA-256 that it carries."""
    checkpoint = load_checkpoint(path)
    expected = _meta(checkpoint).get('sha256')
    if expected is not None:
        state_dict = checkpoint.get('state_dict', checkpoint.get('model', {}))
        if digest({name: torch.as_tensor(tensor) for name, tensor in state_dict.items()}) != expected:
            raise ValueError(
                f'the weights of "{path}" are not those that were exported (SHA-256 differs): export them again'
            )
    return checkpoint


def is_exported(path: str | Path) -> bool:
    """Whether a file is one that `export_backbone` wrote and that MMEngine loads as it is."""
    checkpoint = load_checkpoint(path)
    return 'sha256' in _meta(checkpoint) and 'state_dict' in checkpoint and Path(path).suffix == '.pth'


def read_backbone(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of an exported backbone and check them against their SHA-256, if they carry one.

    Returns:
        Tensors by the names that MMDetection, torchvision and timm share, also of a file for detectron2.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not load safely, was altered since it was written, or holds no backbone.
    """
    checkpoint = load_checked(path)
    state_dict = checkpoint.get('state_dict', checkpoint.get('model', checkpoint))
    detectron2 = 'model' in checkpoint or _meta(checkpoint).get('to') == 'detectron2'
    return from_released(checkpoint) if detectron2 else dict(state_dict)


def load_backbone(config: Mapping[str, Any], path: str | Path | None = None) -> nn.Module:
    """Build a backbone with its four maps, to look at what it has learned.

    Args:
        config: `model.backbone` of a config. MMSelfSup's ResNets return all four stages, whatever it says; of all other
            classes its own `out_indices` say which maps.
        path: any file that holds the backbone; None leaves it as its initialisation draws it.

    Returns:
        The backbone in evaluation mode, on the CPU: (N, 3, H, W) -> the maps of res2..res5.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold the whole backbone, or if that returns other than four maps.
    """
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        stages = with_four_maps({name: value for name, value in config.items() if name != 'out_indices'})
        backbone = MODELS.build({**config, **stages})
    if path is None:
        logger = MMLogger.get_current_instance()
        level = logger.level
        logger.setLevel(logging.WARNING)  # MMEngine reports how each tensor was drawn
        backbone.init_weights()
        logger.setLevel(level)
    else:
        try:
            backbone.load_state_dict(recognise(load_checked(path), backbone).weights)
        except ValueError as error:
            raise ValueError(f'"{path}": {error}') from None
    backbone.eval()
    channels = config.get('in_channels', config.get('in_chans', 3))
    with torch.no_grad():
        maps = backbone(torch.zeros(1, channels, 64, 64))  # two pixels at the largest stride
    if not isinstance(maps, list | tuple) or len(maps) != len(STAGES):
        found = len(maps) if isinstance(maps, list | tuple) else 1
        raise ValueError(
            f'{type(backbone).__name__} returns {found} of its maps, and {", ".join(STAGES)} are looked at: set '
            'model.backbone.out_indices as for pre-training (docs/backbones.md)'
        )
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
