"""Backbones by a short name, by a config, or by their settings."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from detco_mm.engine import mistakes

#: The file in configs/_base_/models/ by the name that a user writes.
NAMES = {
    'resnet18': 'detco_resnet18',
    'resnet50': 'detco_r50',
    'rtmdet-s': 'detco_cspnext-s',
    'yolox-s': 'detco_cspdarknet-s',
    'efficientnet-lite0': 'detco_efficientnet-lite0',
    'convnext-tiny': 'detco_convnext-t',
    'swin-tiny': 'detco_swin-t',
}
#: What a detector's config says of its backbone that is for fine-tuning alone.
_FINE_TUNING = ('init_cfg', 'frozen_stages', 'norm_eval')


def network(backbone: str | Mapping[str, Any], configs: Path) -> ConfigDict:
    """Return ``model`` of a pre-training config with a backbone.

    Args:
        backbone: one of NAMES; the path of a config that has ``model.backbone``, of a pre-training or of a detector,
            whose weights, freezing and ``norm_eval`` are left out; or the settings of one, which name its class in
            full, such as ``dict(type='mmdet.SwinTransformer', ...)``.
        configs: the project's configs/.

    Raises:
        ValueError: if it is none of these.
    """
    usual = mistakes.read_config(configs / '_base_/models/detco_r50.py').model
    if isinstance(backbone, Mapping):
        if 'type' not in backbone:
            raise ValueError(f'backbone={dict(backbone)}: name its class, as type="mmdet.SwinTransformer"')
        usual.backbone = ConfigDict(backbone)
        return usual
    if backbone in NAMES:
        return mistakes.read_config(configs / f'_base_/models/{NAMES[backbone]}.py').model
    if not Path(backbone).suffix == '.py':
        near = difflib.get_close_matches(backbone, NAMES, 1)
        raise ValueError(
            f'no backbone "{backbone}"{f": did you mean {near[0]}?" if near else ""} Known by name are '
            f'{", ".join(NAMES)}; any other one is given by a config (.py) that has model.backbone'
        )
    cfg = mistakes.read_config(backbone)
    model = cfg.get('model') or {}
    if not (isinstance(model, Mapping) and isinstance(model.get('backbone'), Mapping)):
        raise ValueError(f'"{backbone}" has no model.backbone: give the config of a pre-training or of a detector')
    if str(model.get('type', '')).endswith('DetCo'):
        return ConfigDict(model)
    usual.backbone = _of_detector(cfg)
    return usual


def _of_detector(cfg: Config) -> ConfigDict:
    """Take the backbone of a detector, with its class named in full."""
    found = ConfigDict({key: value for key, value in cfg.model.backbone.items() if key not in _FINE_TUNING})
    if '.' not in found.type:
        found.type = f'{cfg.get("default_scope", "mmdet")}.{found.type}'
    return found
