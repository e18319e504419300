"""Start a model from any file that holds its backbone: a pre-training, or a downstream model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import MODELS
from torch import nn

from detco_mm.checkpoints.files import write_atomically
from detco_mm.registry import WEIGHT_INITIALIZERS

from .export import load_checked
from .formats import encoded
from .input_channels import adapt_input_channels
from .recognition import Found, recognise


def find_start(path: str | Path, backbone: nn.Module) -> Found:
    """Read the weights of a backbone from a file.

    Args:
        path: any file that :func:`detco_mm.checkpoints.load_checkpoint` reads.
        backbone: that they are for. A first convolution over another number of channels gets adapted weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold the whole backbone; it names the file and lists what is missing.
    """
    checkpoint = load_checked(path)
    try:
        try:
            return recognise(checkpoint, backbone)
        except ValueError:
            first = next((name for name, weight in backbone.named_parameters() if weight.ndim == 4), None)
            if first is None or backbone.state_dict()[first].shape[1] == 3:
                raise
            return _with_other_channels(checkpoint, backbone, first)
    except ValueError as error:
        raise ValueError(f'"{path}": {error}') from None


def _with_other_channels(checkpoint: Mapping[str, Any], backbone: nn.Module, first: str) -> Found:
    """Find a backbone for RGB, and make its first convolution fit the channels of this one."""
    owner_name, _, attribute = first.rpartition('.')
    owner = backbone.get_submodule(owner_name)
    weight = getattr(owner, attribute)
    channels = weight.shape[1]
    try:
        setattr(owner, attribute, nn.Parameter(torch.empty(len(weight), 3, *weight.shape[2:], device='meta')))
        found = recognise(checkpoint, backbone)
    finally:
        setattr(owner, attribute, weight)
    adapted = adapt_input_channels(found.weights[first], channels)
    print_log(f'{first}: from 3 to {channels} channels', logger='current')
    return Found({**found.weights, first: adapted}, found.place, found.left)


@WEIGHT_INITIALIZERS.register_module()
class StartFrom:
    """Put the weights of a file into a DetCo's backbone, and its projections where they are asked for.

    DetCo calls it for ``start_from``, behind all other initialisation, and copies the query to the key encoder.

    Args:
        checkpoint: any file that holds the backbone.
        projections: take the neck as well, from a checkpoint of a DetCo run with the same neck.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold all that is asked for.
    """

    def __init__(self, checkpoint: str, projections: bool = False) -> None:
        self.checkpoint = checkpoint
        self.projections = projections

    def __call__(self, module: nn.Module) -> None:
        """Load them."""
        backbone: Any = module.backbone
        found = find_start(self.checkpoint, backbone)
        backbone.load_state_dict(found.weights)
        print_log(f'backbone from "{self.checkpoint}": {found.describe()}', logger='current')
        if self.projections:
            neck: Any = module.neck
            try:
                projections = recognise(load_checked(self.checkpoint), neck)
            except ValueError as error:
                raise ValueError(
                    f'projections from "{self.checkpoint}": {error}: start without them, or with the same neck and head'
                ) from None
            neck.load_state_dict(projections.weights)
            print_log(f'projections from "{self.checkpoint}": {projections.describe()}', logger='current')


def use_backbone(cfg: Config, path: str) -> None:
    """Start a downstream model from a backbone, after checking that every weight is there.

    Args:
        cfg: the model's config; the default scope must be set, and `work_dir`, where the weights are left by the names
            of the model's backbone as backbone.pth.
        path: any file that holds the backbone.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a weight is missing or of another shape; it lists them.
    """
    shared_head = cfg.model.get('roi_head', {}).get('shared_head')
    if shared_head is None:
        found = find_start(path, MODELS.build(dict(cfg.model.backbone, init_cfg=None)))
    else:
        # A C4 detector has the last stage in its head.
        complete = dict(cfg.model.backbone, init_cfg=None, num_stages=4, strides=(1, 2, 2, 2), dilations=(1, 1, 1, 1))
        found = find_start(path, MODELS.build(dict(complete, out_indices=(0, 1, 2, 3))))
    out = str(Path(cfg.work_dir, 'backbone.pth'))
    meta = dict(source=Path(path).name, place=found.place)
    # below "backbone.", where MMDetection's Swin looks for them and nowhere else
    prefix = 'backbone.'
    weights = {f'{prefix}{name}': value for name, value in found.weights.items()}
    write_atomically(out, encoded(weights, meta, '.pth', 'mmdet'))
    initialise = ConfigDict(type='Pretrained', checkpoint=out, prefix=prefix)
    if shared_head is not None:
        shared_head.init_cfg = initialise
    cfg.model.backbone.init_cfg = initialise
    print_log(f'backbone from "{path}": {found.describe()}', logger='current')


def start_pretraining(cfg: Config, path: str, projections: bool = False) -> None:
    """Write into a pre-training config what both of its encoders start from.

    Raises:
        ValueError: if the config is of another model than DetCo.
    """
    if not str(cfg.model.get('type', '')).endswith('DetCo'):
        raise ValueError(
            f'--from is for pre-training with DetCo, and the config has {cfg.model.get("type")}: give the weights of a '
            'detector behind its config, tools/det_train.py CONFIG WEIGHTS'
        )
    start = dict(type='detco_mm.StartFrom', checkpoint=path)
    cfg.model.start_from = dict(start, projections=True) if projections else start
