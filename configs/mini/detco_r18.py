# The demo's pre-training: ResNet-18, small views, the embedded images; minutes on two CPU cores.
_base_ = [
    '../_base_/models/detco_r50.py',
    '../_base_/datasets/images.py',
    '../_base_/schedules/sgd_200e.py',
    '../_base_/default_runtime.py',
]

data = dict(root='data/embedded/unlabelled', ann_file='')

model = dict(
    # Below the number of images: a longer queue would hold each image twice, once as a false negative.
    queue_len=1024,
    # 10 epochs are some 150 steps; 0.999 would leave the key encoder where it began.
    momentum=0.99,
    # One process has nobody to shuffle with: BN over groups of 8 of the shuffled batch.
    bn_splits=4,
    backbone=dict(depth=18),
    neck=dict(in_channels=(64, 128, 256, 512)),
)

# 96 px views and nine patches of 32 px: the paper's 224 and 64 in the same proportion, nearly.
train_pipeline = [
    dict(type='detco_mm.DetCoViews', global_size=96, local_size=108),
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=32),
    dict(type='detco_mm.PackDetCoInputs'),
]
train_dataloader = dict(
    num_workers=1,
    pin_memory=False,
    dataset=dict(data_root=data['root'], pipeline=train_pipeline),
)

max_epochs = 10
# bf16 trains about twice as fast on recent CPUs and GPUs.
optim_wrapper = dict(type='detco_mm.BFloat16OptimWrapper', optimizer=dict(lr=0.06))
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=max_epochs)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=5))
