# As shuuchen/DetCo.pytorch trains with the flags of its README: two 255-pixel views from which the patches are cut, its
# local projection, lr 0.015 at batch 128, which is four GPUs (eight take --auto-scale-lr), a cosine with a step an epoch.
# Its checkpoints load into this model (detco_mm.weights.from_reference). One thing is kept as published: offsets and
# order of the patches are drawn for each image, where it draws them once for all images of a batch.
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(neck=dict(local_projection='joint'))

train_pipeline = [
    dict(type='detco_mm.DetCoViews', global_size=255, global_scale=(0.6, 1.0), local_from_global=True),
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=64),
    dict(type='detco_mm.PackDetCoInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=0.015))
auto_scale_lr = dict(base_batch_size=128)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
