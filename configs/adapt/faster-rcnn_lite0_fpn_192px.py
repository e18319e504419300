"""Faster R-CNN on EfficientNet-Lite0, small enough for one CPU core: images of 192 pixels, 120 iterations of 8.

The data are led in by a study (tools/ablate.py --data) or by a config of one's own; nothing is frozen, every BN is
trained.
"""

_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
# detco_mm before MMDetection, which needs the operations that it gives mmcv
custom_imports = dict(imports=['detco_mm', 'mmcls.models'], allow_failed_imports=False)

max_iters = 120
image_size = (192, 192)
channels = 64

model = dict(
    # the scale of TensorFlow's weights
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True,
        type='mmcls.TIMMBackbone',
        # padded as in TensorFlow, where the released weights were trained
        model_name='tf_efficientnet_lite0',
        features_only=True,
        pretrained=False,
        # 0 has stride 2
        out_indices=(1, 2, 3, 4),
        init_cfg=None),
    neck=dict(in_channels=[24, 40, 112, 320], out_channels=channels),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        # sides of 16 to 256 pixels
        anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, finest_scale=28),
        bbox_head=dict(in_channels=channels, fc_out_channels=256)),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.4))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
loader = dict(batch_size=8, num_workers=0, persistent_workers=False)
# without end: MMEngine's loop waits 2 s after each pass, and 37 images are passed in 5 iterations
train_dataloader = dict(
    **loader, sampler=dict(type='InfiniteSampler'), dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(**loader, dataset=dict(pipeline=test_pipeline))

train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters // 2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=max_iters // 10),
    dict(
        type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, gamma=0.1,
        milestones=[max_iters * 3 // 4, max_iters * 11 // 12]),
]
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.05), clip_grad=dict(max_norm=10))

# convolutions on a CPU prefer it
custom_hooks = [dict(type='detco_mm.ChannelsLast')]
default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=max_iters, max_keep_ckpts=1))
log_processor = dict(by_epoch=False, window_size=20)
auto_scale_lr = dict(base_batch_size=8)
