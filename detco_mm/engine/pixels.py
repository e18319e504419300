"""What a config's ``data`` states of the pixels, led to every place that depends on it."""

import copy
import inspect
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import DATASETS, MODELS

from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.datasets.image_folder import EXTENSIONS
from detco_mm.transforms.measuring import settle, statistics
from detco_mm.transforms.pixels import Pixels

#: What ``data`` may say; arguments of Pixels. ``data.percentiles`` says what to measure instead of a value range.
KEYS = ('channels', 'bands', 'value_range', 'nodata')
SETTINGS = (*KEYS, 'percentiles')
#: OpenMMLab's step that reads an image, which makes 8 bits of any other by a fixed rule.
_READERS = ('LoadImageFromFile', 'mmcv.LoadImageFromFile', 'mmdet.LoadImageFromFile', 'mmseg.LoadImageFromFile')
_OURS = 'detco_mm.LoadImage'
_VIEWS = ('detco_mm.DetCoViews', 'DetCoViews')
#: What libraries call the argument for the channels of the first convolution.
_IN_CHANNELS = ('in_channels', 'in_chans', 'img_channels', 'input_channels')


def settle_pixels(cfg: Config, backbone: str | Path | None = None) -> None:
    """Measure what is not stated of the pixels, and write it into a config, in place.

    ``data.channels``, ``data.bands``, ``data.value_range``, ``data.nodata`` (:class:`Pixels` says what they mean) and
    ``data.percentiles`` reach the reader, the normalisation and the backbone's first convolution, in pre-training and
    in fine-tuning, and leave ``data``: what the pipelines say is what counts from then on. Where nothing is stated and
    the images are 8-bit, nothing changes.

    Args:
        cfg: the run's config; the default scope must be set.
        backbone: the file that a fine-tuning starts from. What its pre-training knew of the pixels holds where ``data``
            states nothing, so that both see the same.

    Raises:
        ValueError: if the files have other bands than stated, or the model cannot take as many channels.
    """
    if (loader := cfg.get('train_dataloader')) is None:
        return
    views = list(_steps(loader, _VIEWS))
    if views:
        _settle_views(cfg, views)
    else:
        _settle_readers(cfg, backbone)
    for name in SETTINGS:
        _data(cfg).pop(name, None)


@dataclass(frozen=True)
class Inputs:
    """What a frozen backbone is given.

    Args:
        pixels: how files are read.
        mean: of the channels, 0 to 255.
        std: of the channels.
        backbone: its config, with the number of channels.
    """

    pixels: Pixels
    mean: Sequence[float]
    std: Sequence[float]
    backbone: ConfigDict


def frozen_inputs(cfg: Config, backbone: str | Path | None, paths: Sequence[str]) -> Inputs:
    """Tell how a frozen backbone is given images: as it was trained on them.

    Args:
        cfg: config of its pre-training; the default scope must be set.
        backbone: the file of its weights, or None. What that knows of its pixels comes before what the config states.
        paths: images that it is to be given; what nobody states is measured on a sample of them.

    Raises:
        ValueError: if the images have other bands, or the backbone's class takes no such number of channels.
    """
    known = recorded(backbone)
    views = list(_steps(cfg.get('train_dataloader'), _VIEWS))
    stated = {**((views[0].get('pixels') or {}) if views else {}), **_stated(cfg)}
    pixels = settle(paths, Pixels(**({key: known[key] for key in KEYS if key in known} if known else stated)))
    preprocessor = copy.deepcopy(_preprocessor(cfg))
    _take_moments(preprocessor, known)
    _normalise(preprocessor, paths, pixels, known)
    built = copy.deepcopy(cfg.model.backbone)
    if pixels.channels != 3:
        _widen(built, pixels.channels)
    return Inputs(pixels, preprocessor.mean, preprocessor.std, built)


def settle_frozen_readers(cfg: Config, backbone: str | Path | None) -> None:
    """Have pipelines of OpenMMLab's classifiers read and normalise images as a backbone was trained on them, in place.

    Args and errors as for :func:`settle_pixels`.
    """
    settle_pixels(cfg, backbone)
    _take_moments(_preprocessor(cfg), recorded(backbone))


def _take_moments(preprocessor: ConfigDict, known: Mapping[str, Any]) -> None:
    """Give a preprocessor the mean and std that a backbone was trained with; a frozen one cannot learn others."""
    if not known.get('mean'):
        return
    stated = preprocessor.get('mean'), preprocessor.get('std')
    preprocessor.update(mean=list(known['mean']), std=list(known['std']))
    if stated[0] is not None and not (_close(stated[0], known['mean']) and _close(stated[1], known['std'])):
        print_log(
            f'pixels: mean={known["mean"]} and std={known["std"]} as in pre-training, in the place of {stated[0]} and '
            f'{stated[1]} of the config',
            logger='current',
        )


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(abs(a - b) < 0.01 for a, b in zip(one, other, strict=True))


def recorded(backbone: str | Path | None) -> dict[str, Any]:
    """Return what a checkpoint or an exported backbone tells of the pixels it was trained on; empty if nothing."""
    if backbone is None or '://' in str(backbone) or not Path(backbone).is_file():
        return {}
    meta = load_checkpoint(backbone).get('meta', {})
    found = meta.get('pixels') if isinstance(meta, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _settle_views(cfg: Config, views: Sequence[ConfigDict]) -> None:
    stated, percentiles = {**(views[0].get('pixels') or {}), **_stated(cfg)}, _data(cfg).get('percentiles')
    if not stated and percentiles is None:
        return  # the data set looks at its files itself
    pixels, model = Pixels(**stated), cfg.get('model')
    if pixels.channels != 3 or percentiles is not None:
        dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[], lazy_init=False))
        paths = [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]
        pixels = settle(paths, pixels, percentiles)
        if pixels.channels != 3 and model is not None:
            model.setdefault('data_preprocessor', ConfigDict(type='detco_mm.DetCoDataPreprocessor'))
            _normalise(model.data_preprocessor, paths, pixels, {})
            _widen(model.backbone, pixels.channels)
    for step in views:
        step.pixels = pixels.settings()


def _settle_readers(cfg: Config, backbone: str | Path | None) -> None:
    readers = [
        step
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader')
        for step in _steps(cfg.get(name), (*_READERS, _OURS))
    ]
    if not readers:
        return
    known = recorded(backbone)
    stated = {key: known[key] for key in KEYS if key in known}
    for step in readers:
        if step.type == _OURS:
            stated.update({key: step[key] for key in KEYS if step.get(key) is not None})
    stated.update(_stated(cfg))
    paths = _images(cfg.train_dataloader)
    pixels = settle(paths, Pixels(**stated), _data(cfg).get('percentiles'))
    if not pixels.settings():
        return
    for step in readers:
        kept = {key: step[key] for key in ('to_float32', 'backend_args', 'max_pixels') if step.get(key) is not None}
        step.clear()
        step.update(type=_OURS, **pixels.settings(), **kept)
    print_log(f'pixels: {pixels.describe()}, read by {_OURS}', logger='current')
    if pixels.channels != 3:
        preprocessor = _preprocessor(cfg)
        _normalise(preprocessor, paths, pixels, known)
        if preprocessor.get('type') in ('DetDataPreprocessor', 'mmdet.DetDataPreprocessor'):
            preprocessor.type = 'detco_mm.DetPreprocessor'
        preprocessor['to_rgb' if 'to_rgb' in preprocessor else 'bgr_to_rgb'] = False
        _widen(cfg.model.backbone, pixels.channels)


def _preprocessor(cfg: Config) -> ConfigDict:
    """The settings of the normalisation: a model's, or MMClassification's beside it."""
    found = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    return cfg.model.setdefault('data_preprocessor', ConfigDict()) if found is None else found


def _normalise(preprocessor: ConfigDict, paths: Sequence[str], pixels: Pixels, known: Mapping[str, Any]) -> None:
    """Give a preprocessor mean and std of N channels, where it has not got them."""
    if len(preprocessor.get('mean') or ()) == len(preprocessor.get('std') or ()) == pixels.channels:
        return
    if known.get('mean') and len(known['mean']) == pixels.channels:
        mean, std, source = list(known['mean']), list(known['std']), 'as in pre-training'
    else:
        mean, std = statistics(paths, pixels)
        source = 'measured on a sample of the images; to keep them, write them into model.data_preprocessor'
    preprocessor.mean, preprocessor.std = mean, std
    print_log(f'pixels: mean={mean} and std={std} of {pixels.channels} channels, {source}', logger='current')


def _widen(backbone: ConfigDict, channels: int) -> None:
    """Tell a backbone how many channels its first convolution takes."""
    with MODELS.switch_scope_and_registry(None) as registry:
        kind = registry.get(backbone.type)
    if kind is None:
        return  # the Runner says so
    constructors: list[Any] = [kind] if not inspect.isclass(kind) else [vars(c).get('__init__') for c in kind.__mro__]
    accepted = {name for made_by in constructors if made_by for name in inspect.signature(made_by).parameters}
    names = [name for name in _IN_CHANNELS if name in accepted]
    if not names:
        raise ValueError(
            f'{channels} channels: {backbone.type} has no argument for them (looked for {", ".join(_IN_CHANNELS)}); '
            'choose three bands by data.bands, or another backbone'
        )
    backbone.setdefault(names[0], channels)
    if backbone[names[0]] != channels:
        raise ValueError(
            f'model.backbone.{names[0]}={backbone[names[0]]} for images of {channels} channels: leave it out, or set '
            'data.channels'
        )


def _data(cfg: Config) -> dict[str, Any]:
    return cfg.get('data') or {}


def _stated(cfg: Config) -> dict[str, Any]:
    return {key: _data(cfg)[key] for key in KEYS if _data(cfg).get(key) is not None}


def _steps(node: Any, types: Sequence[str]) -> Iterator[ConfigDict]:
    """Find the steps of pipelines, however deep data sets are wrapped in one another."""
    if isinstance(node, dict):
        if node.get('type') in types:
            yield node  # type: ignore[misc]  # a config holds nothing but ConfigDict
        for value in list(node.values()):
            yield from _steps(value, types)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _steps(value, types)


def _images(loader: ConfigDict) -> list[str]:
    """List the images in the folders of labelled data sets, in an order that does not change."""
    folders: list[str] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            prefix = node.get('data_prefix')
            if isinstance(prefix, str):  # of MMClassification
                prefix = dict(img_path=prefix)
            elif 'image_set_path' in node:  # its VOC
                prefix = dict(img_path='JPEGImages')
            if isinstance(prefix, dict):
                names = [prefix[key] for key in ('img', 'img_path') if isinstance(prefix.get(key), str)]
                folders.extend(os.path.join(node.get('data_root') or '', name) for name in names)
            for value in node.values():
                walk(value)
        elif isinstance(node, list | tuple):
            for value in node:
                walk(value)

    walk(loader)
    paths = sorted(
        os.path.join(where, name)
        for folder in dict.fromkeys(folders)
        if folder and os.path.isdir(folder)
        for where, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(EXTENSIONS)
    )
    if not paths:
        print_log(
            f'pixels: no images found in {folders} to look at', logger='current', level=logging.DEBUG
        )  # the data set says what is missing
    return paths
