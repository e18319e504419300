"""FCN on ResNet-50, 90k iterations on Cityscapes' semantic labels: MoCo's recipe (arXiv 1911.05722, appendix A.5).

The appendix gives the network, crop, scales and flip, batch, rate, its steps, weight decay, and tests on the original
size. It does not give, and chosen here are: SyncBN, momentum, the grid, and the mean over labelled pixels (see below). It names no dropout, no
auxiliary loss, no warm-up and no colour distortion, so there are none. DetCo's own repository has no segmentation
config. Batch 16 is 8 GPUs x 2 images.
"""

_base_ = [
    'mmseg::_base_/models/fcn_r50-d8.py',
    'mmseg::_base_/datasets/cityscapes.py',
    'mmseg::_base_/schedules/schedule_80k.py',
    'mmseg::_base_/default_runtime.py',
]
custom_imports = dict(imports='detco_mm')  # before MMSegmentation, which needs the operations that it gives mmcv

crop_size = (769, 769)
model = dict(
    # Features lie 16 pixels apart only where a side is a multiple of 16 and one: DeepLab's crop is, and tests pad the
    # 1024 x 2048 pixels by one row and one column, which predictions lose again.
    data_preprocessor=dict(size=crop_size, test_cfg=dict(size=(1025, 2049))),
    pretrained=None,
    # Without contract_dilation all 3x3 convolutions of res5 are dilated, not only the last two.
    backbone=dict(type='ResNet', strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=False),
    decode_head=dict(
        channels=256,
        dilation=6,
        concat_input=False,
        dropout_ratio=0,
        align_corners=True,
        # Where half an image is smaller than the crop, a third of the pixels are padding.
        loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=None)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

max_iters = 90000
train_cfg = dict(max_iters=max_iters, val_interval=9000)
param_scheduler = [
    # 70 % and 90 %
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=max_iters, milestones=[63000, 81000], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))

default_hooks = dict(checkpoint=dict(interval=9000, max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=16)
