# Mask R-CNN R50-C4, 12k iterations on COCO.
_base_ = 'mask-rcnn_r50-c4_1x_coco.py'

max_iters = 12000
train_cfg = dict(max_iters=max_iters, val_interval=3000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[9000, 11000], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=3000))
custom_hooks = [dict(type='detco_mm.PreciseBN', interval=3000)]
