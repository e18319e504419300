"""The config of a backbone as a checkpoint tells it, and no more of it than builds the network."""

import re
from collections.abc import Mapping
from typing import Any

from detco_mm.checkpoints.config_text import read_config_text
from detco_mm.checkpoints.registered import check_types

#: Names of networks, styles and the like, as opposed to paths and addresses (timm's ``hf-hub:...``).
_WORD = re.compile(r'[\w.+-]*')
#: Settings that say where the first weights come from.
_FILES = ('init_cfg', 'pretrained', 'checkpoint_path')


def stored_backbone(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return ``model.backbone`` of the run that left a checkpoint.

    Args:
        checkpoint: its ``meta.cfg`` is MMEngine's text of the config; ``meta.backbone`` is what an export keeps of it.

    Returns:
        Plain values, the class by its full name; None if the checkpoint does not say.

    Raises:
        ValueError: if it names a class of an unknown package, or a file or an address.
    """
    meta = checkpoint.get('meta')
    if isinstance(meta, Mapping) and isinstance(meta.get('backbone'), Mapping):
        return stated(meta['backbone'])
    cfg = read_config_text(checkpoint)
    model = cfg.get('model')
    backbone = model.get('backbone') if isinstance(model, Mapping) else None
    return stated(backbone, cfg.get('default_scope')) if isinstance(backbone, Mapping) and 'type' in backbone else None


def stated(backbone: Mapping[str, Any], scope: str | None = None, trusted: bool = False) -> dict[str, Any]:
    """Return a backbone's config as plain values that build it without first weights.

    Args:
        backbone: a config.
        scope: the default scope in which it is meant.
        trusted: whether it is the user's own, and not out of a file.

    Raises:
        ValueError: as for :func:`stored_backbone`, and for a value that is not plain.
    """
    config = dict(backbone)
    if scope and '.' not in str(config.get('type', '.')):
        config['type'] = f'{scope}.{config["type"]}'
    if not trusted:
        check_types(config, 'backbone')
    return _plain(config, 'backbone', trusted)


def _plain(value: Any, name: str, trusted: bool) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry, f'{name}.{key}', trusted) for key, entry in value.items() if key not in _FILES}
    if isinstance(value, list | tuple):
        return [_plain(entry, name, trusted) for entry in value]
    if isinstance(value, str) and not trusted and not _WORD.fullmatch(value):
        raise ValueError(
            f'its config has {name}={value!r}, and of what a file asks for only classes of OpenMMLab are built, and no '
            'place is read: give a config that you trust, --config CONFIG'
        )
    if not isinstance(value, str | int | float | None):
        raise ValueError(f'its config has {name}={value!r}, which is no plain value')
    return value
