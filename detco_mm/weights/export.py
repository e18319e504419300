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

from .formats import encoded
from .recognition import recognise
from .released import from_released
from .sources import find_source
from .stored_config import stated
from .verification import verified


def digest(state_dict: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes of the weights, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(state_dict):
        tensor = state_dict[name].detach().cpu().contiguous()
        sha.update(f'{name} {tuple(tensor.shape)} {tensor.dtype}\n'.encode())
        sha.update(tensor.view(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def export_backbone(
    checkpoint_path: str | Path,
    out_path: str | Path,
    encoder: str = 'query',
    to: str | None = None,
    statistics: Callable[[Mapping[str, Any], Mapping[str, Tensor]], tuple[dict[str, Tensor], str | None]] | None = None,
    backbone: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write one of the two backbones as another library expects it, after trying it there.

    Args:
        checkpoint_path: a checkpoint of a pre-training run, an export, or any file that holds a ResNet.
        out_path: the file to write, ending in .pth, .safetensors or, for detectron2, .pkl; it appears whole or not at
            all.
        encoder: 'query', the trained one, or 'key', its moving average.
        to: 'mmdet', 'mmcls', 'torchvision', 'timm' or 'detectron2'; by default the library of the backbone's class.
        statistics: takes checkpoint and backbone, and returns the backbone with other BN statistics and what is said of
            them, such as :func:`detco_mm.engine.exported_bn.reestimated`. None leaves them as they are.
        backbone: ``model.backbone`` of the config, where the checkpoint has none and its weights are of no ResNet.

    Returns:
        What was written: ``state_dict`` and ``meta`` (target, what it was tried in with what deviation, encoder, the
        backbone's config, source file, its config's name, epoch and iteration where known, the pixels it was trained
        on, what BN statistics were re-estimated on if they were, version and commit of this package, SHA-256 of the
        weights).

    Raises:
        FileNotFoundError: if there is no checkpoint.
        ValueError: if it holds no such backbone, the library has no network for it, or the file's ending is unknown.
    """
    checkpoint = load_checked(checkpoint_path)
    found = _meta(checkpoint)
    try:
        source = find_source(checkpoint, encoder, backbone)
        said = found.get('bn_statistics')
        if statistics is not None:
            weights, new = statistics(checkpoint, source.weights)
            source.module.load_state_dict(weights)
            said = new or said
        state_dict, to, tried = verified(source, to)
    except ValueError as error:
        raise ValueError(f'"{checkpoint_path}": {error}') from None
    meta = {key: found[key] for key in ('epoch', 'iter', 'mmengine_version', 'time', 'pixels') if key in found}
    if 'experiment_name' in found:
        # MMEngine appends when the run began.
        meta['config'] = re.sub(r'_\d{8}_\d{6}$', '', found['experiment_name'])
    meta |= dict(bn_statistics=said) if said else {}
    meta |= dict(to=to, verified=tried, encoder=encoder, source=Path(checkpoint_path).name)
    meta |= dict(
        backbone=stated(source.config, trusted=True), detco_mm=__version__, commit=commit(), sha256=digest(state_dict)
    )
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
