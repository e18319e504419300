"""Its sibling for a tenth of the labels: 120 iterations of 8."""

_base_ = 'faster-rcnn_lite0_fpn_320px.py'

max_iters = 120

train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=max_iters // 10),
    dict(
        type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, gamma=0.1,
        milestones=[max_iters * 3 // 4, max_iters * 11 // 12]),
]
default_hooks = dict(checkpoint=dict(interval=max_iters))
