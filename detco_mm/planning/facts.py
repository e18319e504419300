"""What the choices depend on: the images, the backbone, the machine."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DATASETS, MODELS
from torch.nn.modules.batchnorm import _BatchNorm

from detco_mm.engine.checks import usable_cores
from detco_mm.engine.optim_wrapper import has_bfloat16
from detco_mm.models.backbone import SIDE, dry_run, four_maps
from detco_mm.transforms import sources
from detco_mm.transforms.decoding import UndecodableImage, read_header
from detco_mm.transforms.measuring import SAMPLE, look
from detco_mm.transforms.pixels import Pixels
from detco_mm.transforms.rasters import read_raster

#: Bytes of memory where the system does not tell, as on Windows: what every machine has by now.
_UNKNOWN = 8 * 2**30


@dataclass(frozen=True)
class Facts:
    """What was found.

    Args:
        images: how many there are.
        side: median of their shorter sides, in pixels, over a sample.
        channels: of each, as most of the sample have them.
        starts: whether the backbone starts from weights.
        batch_norm: whether the backbone has BN.
        weights: number of its weights.
        saved: bytes that its forward pass keeps for the backward pass, per pixel of an image, in float32.
        gpus: on which it is to be trained; 0 for the CPU.
        memory: bytes of one GPU, or of the machine.
        cores: that may be used.
        bf16: whether the device computes in bf16 itself.
    """

    images: int
    side: float
    channels: int
    starts: bool
    batch_norm: bool
    weights: int
    saved: float
    gpus: int
    memory: int
    cores: int
    bf16: bool


def images_and_pixels(dataset: Mapping[str, Any], channels: int | None) -> tuple[int, float, int]:
    """Count images, and look at a sample of them.

    Args:
        dataset: config of an ImageFolder; the default scope must be set.
        channels: as the user states them; None to look.

    Returns:
        Their number, the median of their shorter sides in pixels, and their channels.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: if none of the sample can be decoded.
    """
    built = DATASETS.build(dict(dataset, pipeline=[], lazy_init=False))
    paths = [built.get_data_info(index)['img_path'] for index in range(len(built))]
    pixels = Pixels(channels or 3)
    sample = look(paths, pixels)
    refused = [path for found in sample.refused.values() for path in found]
    if channels is None and len(refused) > sample.looked_at:  # of another kind, and the same one mostly
        pixels = Pixels(_most_frequent_bands(refused))
        sample = look(paths, pixels)
    if not sample.sides:
        said = next(iter([*sample.damaged.values(), *sample.refused]), 'it is no file')
        raise ValueError(f'none of {min(len(paths), SAMPLE)} images that were looked at can be used: {said}')
    return len(paths), float(np.median(sample.sides)), pixels.channels


def _most_frequent_bands(paths: list[str]) -> int:
    bands: Counter[int] = Counter()
    for path in paths:
        try:
            data = sources.read(path)
            bands[read_raster(data, read_header(data)).values.shape[2]] += 1
        except (UndecodableImage, OSError):
            continue
    return bands.most_common(1)[0][0] if bands else 3


def backbone_facts(backbone: ConfigDict, channels: int) -> dict[str, Any]:
    """Find out whether a backbone has BN, how many weights, and what its forward pass keeps.

    Args:
        backbone: its config; the default scope must be set.
        channels: of the images.

    Returns:
        ``batch_norm``, ``weights`` and ``saved`` of :class:`Facts`.

    Raises:
        ValueError: if it does not return four maps of strides 4, 8, 16 and 32.
    """
    built = MODELS.build(backbone)
    four_maps(built, channels)
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {weight.untyped_storage().data_ptr() for weight in built.state_dict().values()}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maps = dry_run(built, channels, side=2 * SIDE)
    saved = sum(size for place, size in kept.items() if place not in own)
    del maps  # alive until here, so that no place was used twice
    return dict(
        batch_norm=any(isinstance(module, _BatchNorm) for module in built.modules()),
        weights=sum(weight.numel() for weight in built.parameters()),
        saved=saved / (2 * SIDE) ** 2,
    )


def machine_facts(gpus: int | None = None) -> dict[str, Any]:
    """Look at the machine.

    Args:
        gpus: of the kind that is here, on which is to be trained; by default one if there is one.

    Returns:
        ``gpus``, ``memory``, ``cores`` and ``bf16`` of :class:`Facts`.

    Raises:
        ValueError: if GPUs are wanted where there is none.
    """
    if torch.cuda.is_available():
        gpus = 1 if gpus is None else gpus
    elif gpus:
        raise ValueError(f'gpus={gpus}, and PyTorch sees none here: choose on the machine that trains')
    if gpus:
        memory = torch.cuda.get_device_properties(0).total_memory
    else:
        memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') if hasattr(os, 'sysconf') else _UNKNOWN
    return dict(gpus=gpus or 0, memory=memory, cores=usable_cores(), bf16=has_bfloat16())
