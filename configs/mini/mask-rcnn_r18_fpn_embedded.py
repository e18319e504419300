"""Mask R-CNN R18-FPN on the embedded set, small enough for two CPU cores: the demo's sibling of the COCO config.

As there, nothing is frozen and every BN is trained; the backbone starts at random unless a checkpoint is given. The
data come from tools/make_data.py. What is small follows from images of 160x128 with objects of 20 to 90 pixels.
"""

_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports='detco_mm')  # before MMDetection, which needs the operations that it gives mmcv

max_iters = 400
batch_size = 4
data_root = 'data/embedded/'
image_size = (160, 128)
# detco_mm.datasets.CLASS_NAMES
classes = ('striped disc', 'checked disc', 'checked box', 'dotted box', 'dotted star', 'zigzag star', 'zigzag cross',
           'striped cross')  # fmt: skip
num_classes = len(classes)

norm_cfg = dict(type='BN', requires_grad=True)
channels = 64
strides = [4, 8, 16, 32]
model = dict(
    backbone=dict(depth=18, frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=channels, num_outs=4, norm_cfg=norm_cfg),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        # sides of 16, 32, 64 and 128 pixels
        anchor_generator=dict(scales=[4], strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, featmap_strides=strides, finest_scale=28),
        bbox_head=dict(in_channels=channels, fc_out_channels=256, num_classes=num_classes),
        mask_roi_extractor=dict(out_channels=channels, featmap_strides=strides, finest_scale=28),
        mask_head=dict(
            num_convs=2, in_channels=channels, conv_out_channels=channels, num_classes=num_classes,
            norm_cfg=norm_cfg)),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=150, max_per_img=60),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.4))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100), rcnn=dict(max_per_img=30)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
metainfo = dict(classes=classes)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=1,
    dataset=dict(
        data_root=data_root, metainfo=metainfo, ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'), pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=batch_size,
    num_workers=1,
    dataset=dict(
        data_root=data_root, metainfo=metainfo, ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'), pipeline=test_pipeline))
test_dataloader = dict(
    batch_size=batch_size,
    num_workers=1,
    dataset=dict(
        data_root=data_root, metainfo=metainfo, ann_file='annotations/instances_test.json',
        data_prefix=dict(img='test/'), pipeline=test_pipeline))
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = dict(ann_file=data_root + 'annotations/instances_test.json')

train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=max_iters // 10),
    dict(
        type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, gamma=0.1,
        milestones=[max_iters * 3 // 4, max_iters * 11 // 12]),
]
# AdamW rather than the COCO config's SGD: RPN and mask losses were lower after 150 iterations, with one seed.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05), clip_grad=dict(max_norm=10))

default_hooks = dict(
    logger=dict(interval=20, log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=max_iters, max_keep_ckpts=1))
log_processor = dict(by_epoch=False, window_size=20)
