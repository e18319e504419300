"""The networks of other libraries into which a backbone goes."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .formats import to_detectron2
from .resnets import NAMES, ResNetShape
from .sources import WRAPPER, Source, as_list, build_quietly, resnet_config

TARGETS = ('mmdet', 'mmcls', 'torchvision', 'timm', 'detectron2')
#: Arguments of MMClassification's wrapper, beside those of ``timm.create_model``.
_OF_THE_WRAPPER = ('type', 'in_channels', 'pretrained', 'checkpoint_path', 'init_cfg')


@dataclass(frozen=True)
class Network:
    """A network of a library.

    Args:
        name: what its users call it.
        build: builds it, with the weights of its backbone and no others; None where its library is not installed.
        maps: what it makes of images (N, C, H, W), to its maps, the last one last.
        table: shapes of its weights by name, counters of BN apart, where it cannot be built.
        rename: gives a weight that has torchvision's name that of the table.
    """

    name: str
    build: Callable[[], nn.Module] | None = None
    maps: Callable[[Any, Tensor], list[Tensor]] = lambda module, image: as_list(module(image))
    table: dict[str, tuple[int, ...]] | None = None
    rename: Callable[[str], str] = str


def order_of_targets(source: Source) -> tuple[str, ...]:
    """Return all targets, the natural one first: the library of the backbone's class, MMDetection for MMSelfSup's."""
    own = source.library
    return tuple(sorted(TARGETS, key=lambda target: target != own))


def network_for(source: Source, to: str) -> Network:
    """Name the network of a library that a backbone may fit.

    Args:
        source: the backbone.
        to: one of TARGETS.

    Raises:
        ValueError: if the library has none; it says why.
    """
    if to == 'detectron2':
        return _detectron2(source)
    shape, same_class = source.shape, to == source.library or (source.kind == WRAPPER and to == 'mmcls')
    if not same_class and shape is None and (source.library != 'mmselfsup' or to not in ('mmdet', 'mmcls')):
        raise ValueError(f"{source.name} is not known by {to}'s names")
    if importlib.util.find_spec(to) is None:
        if shape is None or shape.deep:
            raise ValueError(f'{to} is not installed, and what is written for it is tried with it')
        return Network(f"{to}'s ResNet", table=shape.table())
    if to == 'timm' and same_class:
        return _timm(source)
    if same_class:
        return Network(
            f'{type(source.module).__module__.split(".")[0]}.{source.kind}', lambda: build_quietly(source.config)
        )
    if shape is None:  # MMSelfSup's, with norms of another kind or so
        config = source.config | dict(type=f'{to}.{source.kind}', out_indices=(0, 1, 2, 3))
    elif to == 'torchvision':
        return _torchvision(_named(shape), shape)
    elif to == 'timm':
        return _timms_resnet(_named(shape), shape)
    else:
        config = resnet_config(shape, to) | {key: source.config[key] for key in ('style',) if key in source.config}
    return Network(config['type'], lambda: build_quietly(config))


def _named(shape: ResNetShape) -> str:
    if name := NAMES.get((shape.depth, shape.groups, shape.width)):
        return name
    raise ValueError(
        f'there is no name for a ResNet of depth {shape.depth} with {shape.width} channels in {shape.groups} groups'
    )


def _timm(source: Source) -> Network:
    import timm

    given = {key: value for key, value in source.config.items() if key not in _OF_THE_WRAPPER}
    if 'in_channels' in source.config:
        given['in_chans'] = source.config['in_channels']
    words = ', '.join(f'{key}={value!r}' for key, value in given.items() if key != 'model_name')
    name = f'timm.create_model({given["model_name"]!r}, {words})'
    return Network(name, lambda: timm.create_model(**given))


def _timms_resnet(name: str, shape: ResNetShape) -> Network:
    import timm

    if shape.deep:
        name = name.replace('_', 'd_') if '_' in name else f'{name}d'  # resnext50d_32x4d
    if not timm.is_model(name):
        raise ValueError(f'timm has no {name}')
    return Network(
        f'timm {name}',
        lambda: timm.create_model(name, num_classes=0, in_chans=shape.in_channels),
        lambda module, image: module.forward_intermediates(image, intermediates_only=True),
    )


def _torchvision(name: str, shape: ResNetShape) -> Network:
    import torchvision

    if shape.deep:
        raise ValueError(f'torchvision has no {name} with a deep stem (V1d)')

    def build() -> nn.Module:
        module = getattr(torchvision.models, name)()
        module.fc = nn.Identity()
        if shape.in_channels != 3:
            module.conv1 = nn.Conv2d(shape.in_channels, 64, 7, 2, 3, bias=False)
        return module

    def maps(module: Any, image: Tensor) -> Iterator[Tensor]:
        hidden = module.maxpool(module.relu(module.bn1(module.conv1(image))))
        for layer in (module.layer1, module.layer2, module.layer3, module.layer4):
            yield (hidden := layer(hidden))

    return Network(f'torchvision.models.{name}', build, lambda module, image: list(maps(module, image)))


def _detectron2(source: Source) -> Network:
    """Name the settings of its ResNet (``build_resnet_backbone``); the library itself is on no package index."""
    shape = source.shape
    if shape is None or shape.deep:
        raise ValueError(f'detectron2 has no {source.name}: its ResNets have a stem of one 7 x 7 convolution')
    if source.config.get('style', 'pytorch') != 'pytorch':
        raise ValueError('its weights are written for STRIDE_IN_1X1=False, and these are of style "caffe"')
    settings = dict(DEPTH=shape.depth, NUM_GROUPS=shape.groups, WIDTH_PER_GROUP=shape.width // shape.groups)
    settings |= dict(STEM_OUT_CHANNELS=shape.stem, RES2_OUT_CHANNELS=shape.out, STRIDE_IN_1X1=False)
    words = ', '.join(f'{key}={value}' for key, value in settings.items())
    return Network(f"detectron2's ResNet, {words}", table=shape.table(detectron2=True), rename=to_detectron2)
