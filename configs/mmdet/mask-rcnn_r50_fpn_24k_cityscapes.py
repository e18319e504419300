"""Mask R-CNN R50-FPN, 24k iterations on Cityscapes' instances, as in DetCo's tables: batch 8 is 8 GPUs x 1 image.

The official AP needs the package cityscapesscripts.
"""

_base_ = 'mmdet::cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py'
custom_imports = dict(imports='detco_mm')  # before MMDetection, which needs the operations that it gives mmcv

norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
    neck=dict(norm_cfg=norm_cfg),
    # detectron2's ROI_BOX_HEAD.SMOOTH_L1_BETA is 0
    roi_head=dict(bbox_head=dict(loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0))))
load_from = None  # the base starts from COCO

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    # INPUT.MIN_SIZE_TRAIN and MAX_SIZE_TRAIN; tests keep the base's 1024
    dict(type='RandomChoiceResize', scales=[(2048, side) for side in range(800, 1025, 32)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(times=1, dataset=dict(pipeline=train_pipeline)))

max_iters = 24000
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=4000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[18000], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))

default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=4000, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
custom_hooks = [dict(type='detco_mm.PreciseBN', interval=4000)]
auto_scale_lr = dict(base_batch_size=8)
