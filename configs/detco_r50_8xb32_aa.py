# The row "DetCo + AA": RandAugment on the global views, before colour. The paper does not give the number of operations
# and their magnitude; these are RandAugment's for ResNet-50 on ImageNet (Cubuk et al., section 4.3).
_base_ = 'detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

train_pipeline = [
    dict(type='detco_mm.DetCoViews', rand_augment=dict(num_ops=2, magnitude=9)),
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=64),
    dict(type='detco_mm.PackDetCoInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
