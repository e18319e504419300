"""A backbone of a file in its own class: whose weights an export has to keep, and with what maps."""

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mmengine.logging import MMLogger
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from detco_mm.registry import with_four_maps

from .recognition import dicts_of_tensors, recognise, shortened
from .resnets import ResNetShape, shape_of, shape_within
from .stored_config import stated, stored_backbone

#: Where a DetCo checkpoint keeps the two backbones.
PREFIXES = {'query': 'backbone.', 'key': 'key_encoder.backbone.'}
WRAPPER = 'TIMMBackbone'


@dataclass
class Source:
    """A backbone with its weights, in evaluation mode.

    Args:
        config: that built it; plain values.
        module: of its own class.
    """

    config: dict[str, Any]
    module: nn.Module

    @cached_property
    def shape(self) -> ResNetShape | None:
        """Which ResNet it is, if it is one."""
        return shape_of(self.weights)

    @property
    def weights(self) -> dict[str, Tensor]:
        """By the names of its own class."""
        return dict(self.module.state_dict())

    @property
    def library(self) -> str:
        """The package of its class; MMDetection for a class of one's own, which detectors build by its name."""
        package = type(self.module).__module__.split('.')[0]
        return 'timm' if self.kind == WRAPPER else package if package in ('mmselfsup', 'mmcls') else 'mmdet'

    @property
    def kind(self) -> str:
        """Its class."""
        return type(self.module).__name__

    @property
    def name(self) -> str:
        """What to call it in a message."""
        parts = [self.config.get(key) for key in ('model_name', 'arch', 'depth')]
        return ' '.join([self.kind, *(str(part) for part in parts if isinstance(part, str | int))])

    @property
    def channels(self) -> int:
        """Of the image."""
        return self.config.get('in_channels', self.config.get('in_chans', 3))

    def maps(self, image: Tensor) -> list[Tensor]:
        """Return what it returns."""
        return as_list(self.module(image))


def as_list(maps: Any) -> list[Tensor]:
    """Return the maps of a backbone, of which some return one alone."""
    return list(maps) if isinstance(maps, list | tuple) else [maps]


def build_quietly(config: Mapping[str, Any]) -> nn.Module:
    """Build a backbone by a config; MMSelfSup's ResNets return all four maps where it does not say which.

    Raises:
        ValueError: if its class is not installed, or does not take these settings.
    """
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)  # what timm's wrapper tells of its maps, and MMEngine of packages that are missing
    try:
        with DefaultScope.overwrite_default_scope('mmselfsup'):
            return MODELS.build(with_four_maps(config))
    except (KeyError, ImportError) as error:
        raise ValueError(
            f'{config.get("type")} is not installed here, or not imported by the config ({str(error).splitlines()[0]})'
        ) from error
    except (TypeError, AssertionError, RuntimeError) as error:
        said = str(error).splitlines()
        raise ValueError(f'{config.get("type")} is not built: {said[0] if said else type(error).__name__}') from error
    finally:
        logger.setLevel(level)


def find_source(
    checkpoint: Mapping[str, Any], encoder: str = 'query', backbone: Mapping[str, Any] | None = None
) -> Source:
    """Build the backbone of a file in its own class.

    The class is what `backbone` says, or the config of the run in the checkpoint, or the export that the file is; else
    the weights tell: of ResNets they do.

    Args:
        checkpoint: what `load_checkpoint` returns.
        encoder: 'query' or 'key'; checkpoints from elsewhere have the former alone.
        backbone: ``model.backbone`` of its config.

    Raises:
        ValueError: if there is no such backbone, or its class is not known.
    """
    if encoder not in PREFIXES:
        raise ValueError(f'encoder={encoder!r} is unknown: choose from {", ".join(PREFIXES)}')
    if encoder == 'key':
        checkpoint = _of_the_key_encoder(checkpoint)
    config = stated(backbone, trusted=True) if backbone else stored_backbone(checkpoint)
    if config is None:
        shape = shape_within(checkpoint)
        if shape is None:
            names = [name for _, tensors in dicts_of_tensors(checkpoint) for name in tensors]
            raise ValueError(
                'no ResNet is in it, and no config that tells the class of its backbone. It starts with '
                f'{shortened(names, 3)}: give the config that it was trained with, --config CONFIG'
            )
        config = resnet_config(shape)
    module = build_quietly(config)
    module.load_state_dict(recognise(checkpoint, module).weights)
    module.eval()
    source = Source(config, module)
    if source.shape and 'out_indices' in inspect.signature(type(module)).parameters:
        # all maps, whatever the run used: those of MMSelfSup count the stem
        first = 1 if source.library == 'mmselfsup' else 0
        module.out_indices = tuple(range(first, first + 4))  # type: ignore[assignment]
    return source


def _of_the_key_encoder(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    state_dict, prefix = checkpoint.get('state_dict', {}), PREFIXES['key']
    weights = {name.removeprefix(prefix): value for name, value in state_dict.items() if name.startswith(prefix)}
    if not weights:
        raise ValueError(
            f'no weights below "{prefix}": is it a checkpoint of a DetCo run? '
            f'It starts with {shortened(list(state_dict), 3) or "nothing"}'
        )
    return {'state_dict': weights, 'meta': checkpoint.get('meta', {})}


def resnet_config(shape: ResNetShape, library: str = 'mmselfsup') -> dict[str, Any]:
    """Write the config by which a library of OpenMMLab builds a ResNet.

    Args:
        shape: of it.
        library: 'mmselfsup', 'mmcls' or 'mmdet'.

    Raises:
        ValueError: if the library has none that is as wide.
    """
    kind = 'ResNetV1d' if shape.deep else 'ResNeXt' if shape.groups > 1 else 'ResNet'
    if shape.deep and shape.groups > 1:
        raise ValueError(f'{library} has no ResNetV1d with groups')
    config = dict(type=f'{library}.{kind}', depth=shape.depth, in_channels=shape.in_channels, stem_channels=shape.stem)
    config |= dict(base_channels=shape.width, norm_cfg=dict(type='BN'))
    config['out_indices'] = (1, 2, 3, 4) if library == 'mmselfsup' else (0, 1, 2, 3)
    standard = 4 if shape.bottleneck else 1
    if shape.groups > 1:
        # the width of the groups is stated, and the base that of a ResNet with as many channels behind a stage
        width_of_groups = 'base_width' if library == 'mmdet' else 'width_per_group'
        config |= {'groups': shape.groups, 'base_channels': shape.out // standard}
        config[width_of_groups] = shape.width // shape.groups
    elif shape.expansion != standard:
        if library == 'mmdet':
            raise ValueError(f'mmdet has no ResNet whose blocks widen {shape.expansion} times: it has {standard}')
        config['expansion'] = shape.expansion
    if library == 'mmdet':
        config['norm_eval'] = False
    return config
