# Go on from ImageNet weights of EfficientNet-Lite0 (--from FILE) on a few thousand images; for one CPU core.
_base_ = [
    '../_base_/models/detco_efficientnet-lite0.py',
    '../_base_/datasets/images.py',
    '../_base_/schedules/adapt.py',
    '../_base_/default_runtime.py',
]
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(
    # Below the number of images: a longer queue holds each image twice, once as a false negative.
    queue_len=2048,
    # The key encoder averages over 250 steps; with 0.999 it would hardly move in so short a training.
    momentum=0.996,
    # Twice as fast on a CPU.
    data_preprocessor=dict(channels_last=True))

train_pipeline = [
    dict(type='detco_mm.DetCoViews', global_size=96, local_size=96),
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=32),
    dict(type='detco_mm.PackDetCoInputs'),
]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, pin_memory=False, dataset=dict(pipeline=train_pipeline))
default_hooks = dict(logger=dict(interval=10))
