"""Faster R-CNN R50-C4, 24k iterations on VOC07+12 trainval, tested on VOC07 test, as in DetCo's and MoCo's tables."""

_base_ = 'mmdet::pascal_voc/faster-rcnn_r50-caffe-c4_ms-18k_voc0712.py'
custom_imports = dict(imports='detco_mm')  # before MMDetection, which needs the operations that it gives mmcv

# RGB with torchvision's statistics and the stride in the 3x3 convolution, where the base has Caffe's ways.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, style='pytorch', init_cfg=None),
    roi_head=dict(
        # MODEL.ROI_HEADS.NAME Res5ROIHeadsExtraNorm: one more norm behind res5, which comes from the checkpoint, too.
        shared_head=dict(type='detco_mm.ResLayerExtraNorm', norm_cfg=norm_cfg, norm_eval=False, style='pytorch')))

# VOC2007 and VOC2012 differ in this key alone; without it the set has one metainfo, and not a list of two.
train_dataloader = dict(dataset=dict(ignore_keys=['dataset_type']))

# INPUT.MIN_SIZE_TRAIN is the base's 480 to 800; MIN_SIZE_TEST 800 as well.
max_iters = 24000
train_cfg = dict(max_iters=max_iters, val_interval=4000)
param_scheduler = [
    # SOLVER.WARMUP_ITERS
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[18000, 22000], gamma=0.1),
]
# AP from 0.5 to 0.95, AP50 and AP75, areas under the whole curve, as MoCo's table has them.
iou_thrs = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
val_evaluator = dict(eval_mode='area', iou_thrs=iou_thrs)
test_evaluator = dict(eval_mode='area', iou_thrs=iou_thrs)

default_hooks = dict(checkpoint=dict(interval=4000, max_keep_ckpts=2))
custom_hooks = [dict(type='detco_mm.PreciseBN', interval=4000)]
# SOLVER.IMS_PER_BATCH
auto_scale_lr = dict(base_batch_size=16)
