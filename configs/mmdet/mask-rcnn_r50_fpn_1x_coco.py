"""Mask R-CNN R50-FPN, 90k iterations on COCO: the recipe of DetCo's and MoCo's detection tables.

It states what differs from MMDetection's own config; comments name the keys of the authors' detectron2 configs. The
backbone starts at random unless a checkpoint is given (tools/det_train.py, or model.backbone.init_cfg). Batch 16 is
8 GPUs x 2 images; --auto-scale-lr adapts the rate.
"""

_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports='detco_mm')  # before MMDetection, which needs the operations that it gives mmcv

# Every BN is trained and synchronised, nothing is frozen: features without labels have another scale than supervised
# ones (MoCo, section 4.2). MODEL.RESNETS.NORM and MODEL.FPN.NORM; the heads have no norm there, nor here.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
    neck=dict(norm_cfg=norm_cfg))

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    # INPUT.MIN_SIZE_TRAIN; tests keep the base's 800
    dict(type='RandomChoiceResize', scales=[(1333, side) for side in range(640, 801, 32)], keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

max_iters = 90000
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=10000)
param_scheduler = [
    # detectron2's SOLVER.WARMUP_ITERS and WARMUP_FACTOR
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[60000, 80000], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4))

default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=10000, max_keep_ckpts=2))
log_processor = dict(by_epoch=False)
# TEST.PRECISE_BN: statistics are taken anew before each evaluation.
custom_hooks = [dict(type='detco_mm.PreciseBN', interval=10000)]
