# The demo's pre-training: ResNet-18, small views, the embedded images; minutes on two CPU cores.
_base_ = [
    '../_base_/models/detco_r50.py',
    '../_base_/datasets/images.py',
    '../_base_/schedules/sgd_200e.py',
    '../_base_/default_runtime.py',
]
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(
    # Below the number of images: a longer queue would hold each image twice, once as a false negative.
    queue_len=1024,
    # The key encoder averages over 250 of some 370 steps; 0.999 would leave it where it began.
    momentum=0.996,
    # One process has nobody to shuffle with: BN over groups of 16 of the shuffled batch.
    bn_splits=2,
    backbone=dict(depth=18),
    # MoCo v2's 0.2 leaves little to learn from the narrow cone in which an untrained network's keys lie.
    head=dict(temperature=0.1),
)

# 64 px views and nine patches of 24 px: about half the pixels are global, half local, as in the paper.
train_pipeline = [
    dict(type='detco_mm.DetCoViews', global_size=64, local_size=72),
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=24),
    dict(type='detco_mm.PackDetCoInputs'),
]
train_dataloader = dict(
    num_workers=1,
    pin_memory=False,
    dataset=dict(data_root='data/embedded/unlabelled', pipeline=train_pipeline),
)

optim_wrapper = dict(
    # bf16 trains about twice as fast on recent CPUs and GPUs.
    type='detco_mm.BFloat16OptimWrapper',
    # AdamW, for there are few steps. A step of it moves a unit of a projection by lr times the sum of the inputs, which
    # are all positive: 512 for the global one, 9 x 512 for the local one. At the backbone's rate both ran into constants.
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={'neck.projections.global': dict(lr_mult=0.1), 'neck.projections.local': dict(lr_mult=0.01)}
    ),
)
param_scheduler = [
    # Until the queue holds real keys there is nothing to learn from it: 1024 keys are 32 steps.
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=60),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=32)
train_cfg = dict(max_epochs=6)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(interval=1, max_keep_ckpts=2))
