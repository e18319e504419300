"""Backbones of four maps from four libraries: those of the reference's ``-a``, and those of popular detectors."""

import copy

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from detco_mm.registry import with_four_maps

RESNET = dict(type='ResNet', norm_cfg=dict(type='BN'))
NARROW = dict(stem_channels=8, base_channels=8)
TIMM = dict(type='mmcls.TIMMBackbone', features_only=True, pretrained=False)
SHALLOW = dict(out_indices=(0, 1, 2, 3))

#: As narrow as their classes allow: a step takes a fraction of a second.
SMALL = {
    'ResNet-18': dict(RESNET, depth=18, **NARROW),
    'ResNet-34': dict(RESNET, depth=34, **NARROW),
    'ResNet-50': dict(RESNET, depth=50, **NARROW),
    'ResNeXt-50': dict(RESNET, type='ResNeXt', depth=50, groups=2, width_per_group=4, **NARROW),
    'wide ResNet-50-2': dict(RESNET, depth=50, stem_channels=8, base_channels=16, expansion=2),
    # MMDetection's own ResNets leave BN as it is unless they are told to train it
    'ResNetV1d-18': dict(RESNET, type='mmdet.ResNetV1d', depth=18, norm_eval=False, **NARROW, **SHALLOW),
    'RegNetX-400MF': dict(RESNET, type='mmdet.RegNet', arch='regnetx_400mf', norm_eval=False, **SHALLOW),
    'Res2Net-50': dict(
        RESNET, type='mmdet.Res2Net', depth=50, scales=4, base_width=26, norm_eval=False, **NARROW, **SHALLOW
    ),
    'CSPNeXt-s': dict(
        type='mmdet.CSPNeXt', deepen_factor=0.33, widen_factor=0.125, out_indices=(1, 2, 3, 4), norm_cfg=dict(type='BN')
    ),
    'CSPDarknet-s': dict(type='mmdet.CSPDarknet', deepen_factor=0.33, widen_factor=0.125, out_indices=(1, 2, 3, 4)),
    'MobileNetV2': dict(type='mmdet.MobileNetV2', widen_factor=0.25, out_indices=(1, 2, 4, 6)),
    'ConvNeXt-atto': dict(type='mmcls.ConvNeXt', arch='atto', gap_before_final_norm=False, **SHALLOW),
    'Swin': dict(type='mmdet.SwinTransformer', embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
    'efficientnet_lite0': dict(TIMM, model_name='tf_efficientnet_lite0', out_indices=(1, 2, 3, 4)),
    'mobilenetv3': dict(TIMM, model_name='mobilenetv3_small_050', out_indices=(1, 2, 3, 4)),
    'hgnetv2_b0': dict(TIMM, model_name='hgnetv2_b0', out_indices=(0, 1, 2, 3)),
    'resnet50d': dict(
        TIMM, model_name='resnet50d', layers=(1, 1, 1, 1), channels=(8, 16, 32, 64), out_indices=(1, 2, 3, 4)
    ),
}

#: One of each kind: plain BN, no BN, depthwise convolutions, another library.
KINDS = ('ResNet-18', 'Swin', 'MobileNetV2', 'efficientnet_lite0')

#: At full size, for the meta device: shapes and graphs, and no numbers.
LARGE = {
    'ResNet-50': dict(RESNET, depth=50),
    'ResNet-101': dict(RESNET, depth=101),
    'ResNet-152': dict(RESNET, depth=152),
    'ResNeXt-50 32x4d': dict(RESNET, type='ResNeXt', depth=50, groups=32, width_per_group=4),
    'ResNeXt-101 32x8d': dict(RESNET, type='ResNeXt', depth=101, groups=32, width_per_group=8),
    'wide ResNet-50-2': dict(RESNET, depth=50, base_channels=128, expansion=2),
    'wide ResNet-101-2': dict(RESNET, depth=101, base_channels=128, expansion=2),
    'ResNetV1d-50': dict(type='mmdet.ResNetV1d', depth=50, norm_cfg=dict(type='BN'), **SHALLOW),
    'CSPNeXt-l': dict(type='mmdet.CSPNeXt', out_indices=(1, 2, 3, 4), norm_cfg=dict(type='BN')),
    'ConvNeXt-T': dict(type='mmcls.ConvNeXt', arch='tiny', gap_before_final_norm=False, **SHALLOW),
    'Swin-T': dict(type='mmdet.SwinTransformer'),
}


def build(backbone, **options):
    """DetCo on a backbone, as small as the rest can be."""
    init_default_scope('mmselfsup')
    torch.manual_seed(0)
    given = dict(
        queue_len=8, neck=dict(type='detco_mm.DetCoNeck', out_channels=8), head=dict(type='detco_mm.DetCoHead')
    )
    return MODELS.build(dict(type='detco_mm.DetCo', backbone=copy.deepcopy(backbone)) | given | options)


def save(path, backbone, weights, prefix='backbone.'):
    """Write weights of a backbone as a run does, with its config as text."""
    cfg = Config(dict(default_scope='mmselfsup', model=dict(type='detco_mm.DetCo', backbone=copy.deepcopy(backbone))))
    named = {f'{prefix}{name}': value for name, value in weights.items()}
    torch.save(dict(state_dict=named, meta=dict(cfg=cfg.pretty_text)), path)


def views(images=2, side=32, device='cpu', channels=3, seed=1):
    """Four views of N images, nine patches each."""
    torch.manual_seed(seed)
    whole = [torch.randn(images, channels, 64, 64, device=device) for _ in range(2)]
    return [*whole, *(torch.randn(images, 9, channels, side, side, device=device) for _ in range(2))]


def step(model, inputs):
    """Forward and backward; return losses and accuracies."""
    losses = model.loss(inputs)
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    return losses


def bare(backbone):
    """The backbone as its own library builds it."""
    init_default_scope('mmselfsup')
    return MODELS.build(with_four_maps(copy.deepcopy(backbone)))
