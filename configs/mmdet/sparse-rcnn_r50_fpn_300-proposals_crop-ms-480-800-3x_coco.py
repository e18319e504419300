"""Sparse R-CNN R50-FPN, 300 proposals, random crops and sides from 480 to 800, 36 epochs on COCO.

The authors' row has 45.0 AP from supervised and 46.5 from DetCo weights. BN is trained and synchronised, as everywhere.
"""

_base_ = 'mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco.py'
custom_imports = dict(imports='detco_mm')  # before MMDetection, which needs the operations that it gives mmcv

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
    neck=dict(norm_cfg=norm_cfg))
default_hooks = dict(checkpoint=dict(max_keep_ckpts=2))
