"""Mask R-CNN with Swin-T, 12 epochs on COCO: MMDetection's recipe, from a backbone that DetCo trained."""

_base_ = 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'

# The keys are already MMDetection's, not those of Swin's authors.
model = dict(backbone=dict(convert_weights=False, init_cfg=None))
