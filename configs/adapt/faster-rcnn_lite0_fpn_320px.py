"""Its sibling for small objects: images of 320 pixels, 300 iterations of 8."""

_base_ = 'faster-rcnn_lite0_fpn_192px.py'

max_iters = 300
image_size = (320, 320)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = image_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=max_iters // 10),
    dict(
        type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, gamma=0.1,
        milestones=[max_iters * 3 // 4, max_iters * 11 // 12]),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
