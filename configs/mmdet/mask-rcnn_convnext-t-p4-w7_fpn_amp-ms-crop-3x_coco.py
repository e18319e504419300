"""Mask R-CNN with ConvNeXt-T, 36 epochs on COCO: MMDetection's recipe, from a backbone that DetCo trained."""

_base_ = 'mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py'

# MMClassification's class, which is installed with MMSelfSup, where the base has that of its successor.
custom_imports = dict(_delete_=True, imports=['mmcls.models'], allow_failed_imports=False)
model = dict(backbone=dict(type='mmcls.ConvNeXt', init_cfg=None))
