"""RetinaNet with timm's efficientnet_lite0, 12 epochs on COCO, from a backbone that DetCo trained."""

_base_ = 'mmdet::timm_example/retinanet_timm-efficientnet-b1_fpn_1x_coco.py'

# MMClassification's class, which is installed with MMSelfSup, where the base has that of its successor.
custom_imports = dict(_delete_=True, imports=['mmcls.models'], allow_failed_imports=False)
model = dict(
    # the scale of TensorFlow's weights
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(type='mmcls.TIMMBackbone', model_name='tf_efficientnet_lite0', pretrained=False),
    neck=dict(in_channels=[24, 40, 112, 320]))
