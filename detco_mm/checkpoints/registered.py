"""What the config in a file may have built: classes that OpenMMLab's registries hold.

MMEngine takes a name that no registry holds for a path, imports it and calls what it finds there with the config's
arguments, such as `subprocess.call` or `mmengine.dump`. A checkpoint of somebody else must not.
"""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS, MODELS, TRANSFORMS, Registry

#: Packages whose registries are searched, where they are installed.
SCOPES = ('mmengine', 'mmcv', 'mmselfsup', 'mmcls', 'mmdet', 'mmseg', 'detco_mm')
KINDS = (MODELS, DATASETS, TRANSFORMS, DATA_SAMPLERS, FUNCTIONS)


def is_registered(name: Any) -> bool:
    """Whether a registry holds a class by this name, with or without the scope before it."""
    if not isinstance(name, str):
        return False
    scope, _, bare = name.rpartition('.')
    importlib.import_module('mmcv.cnn')  # mmcv registers norms and activations with MMEngine's roots
    for package in SCOPES[2:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(f'{package}.registry')
    return any(
        bare in registry.module_dict and (not scope or registry.scope == scope in SCOPES)
        for root in KINDS
        for registry in _family(root)
    )


def _family(registry: Registry) -> Iterator[Registry]:
    registry.import_from_location()
    yield registry
    for child in registry.children.values():
        yield from _family(child)


def check_types(config: Any, name: str = 'config') -> None:
    """Make sure that building a config calls nothing but registered classes.

    Args:
        config: dicts, lists and plain values out of a file.
        name: how it is called in a complaint.

    Raises:
        ValueError: with the first ``type`` that no registry holds.
    """
    if isinstance(config, Mapping):
        if 'type' in config and not is_registered(config['type']):
            raise ValueError(
                f'its config has {name}.type={config["type"]!r}, and of what a file asks for only classes of '
                'OpenMMLab are built: give a config that you trust, --config CONFIG'
            )
        for key, value in config.items():
            check_types(value, f'{name}.{key}')
    elif isinstance(config, list | tuple):
        for value in config:
            check_types(value, name)
