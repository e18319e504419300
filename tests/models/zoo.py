"""Backbones of four maps from four libraries: those of the reference's ``-a``, and those of popular detectors."""

RESNET = dict(type='ResNet', norm_cfg=dict(type='BN'))
MM = dict(type='mmdet.ResNet', norm_cfg=dict(type='BN'))
TIMM = dict(type='mmcls.TIMMBackbone', features_only=True, pretrained=False)
SHALLOW = dict(out_indices=(0, 1, 2, 3))

#: Small enough to train a step of in a second.
SMALL = {
    'ResNet-18': dict(RESNET, depth=18),
    'ResNet-34': dict(RESNET, depth=34),
    'ResNetV1d-18': dict(type='mmcls.ResNetV1d', depth=18, norm_cfg=dict(type='BN'), **SHALLOW),
    'RegNetX-400MF': dict(type='mmdet.RegNet', arch='regnetx_400mf', norm_cfg=dict(type='BN'), **SHALLOW),
    'Res2Net-50': dict(type='mmdet.Res2Net', depth=50, scales=4, base_width=26, norm_cfg=dict(type='BN'), **SHALLOW),
    'CSPNeXt-s': dict(
        type='mmdet.CSPNeXt', deepen_factor=0.33, widen_factor=0.25, out_indices=(1, 2, 3, 4), norm_cfg=dict(type='BN')
    ),
    'CSPDarknet-s': dict(type='mmdet.CSPDarknet', deepen_factor=0.33, widen_factor=0.25, out_indices=(1, 2, 3, 4)),
    'MobileNetV2': dict(type='mmdet.MobileNetV2', widen_factor=0.5, out_indices=(1, 2, 4, 6)),
    'ConvNeXt-atto': dict(type='mmcls.ConvNeXt', arch='atto', gap_before_final_norm=False, **SHALLOW),
    'Swin': dict(type='mmdet.SwinTransformer', embed_dims=24, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)),
    'efficientnet_lite0': dict(TIMM, model_name='tf_efficientnet_lite0', out_indices=(1, 2, 3, 4)),
    'mobilenetv3': dict(TIMM, model_name='mobilenetv3_small_050', out_indices=(1, 2, 3, 4)),
    'hgnetv2_b0': dict(TIMM, model_name='hgnetv2_b0', out_indices=(0, 1, 2, 3)),
    'resnet50d': dict(TIMM, model_name='resnet50d', out_indices=(1, 2, 3, 4)),
}

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
