"""Mask R-CNN R50-C4, 90k iterations on COCO, as in DetCo's and MoCo's tables."""

_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py'
custom_imports = dict(imports='detco_mm')  # before MMDetection, which needs the operations that it gives mmcv

# RGB with torchvision's statistics and the stride in the 3x3 convolution, where the base has Caffe's ways.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, style='pytorch', init_cfg=None),
    roi_head=dict(
        # MODEL.ROI_HEADS.NAME Res5ROIHeadsExtraNorm: one more norm behind res5, which comes from the checkpoint, too.
        shared_head=dict(type='detco_mm.ResLayerExtraNorm', norm_cfg=norm_cfg, norm_eval=False, style='pytorch')))

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    # INPUT.MIN_SIZE_TRAIN and MAX_SIZE_TRAIN; tests keep the base's 800
    dict(type='RandomChoiceResize', scales=[(1200, side) for side in range(640, 801, 32)], keep_ratio=True),
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
