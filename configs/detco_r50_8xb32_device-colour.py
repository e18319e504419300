# The paper's recipe with colour and blur on the GPU, where CPU cores are too few to feed it. As usual in every respect
# but two: the patches of a view are blurred one by one, and their contrast is taken against the mean of the patches.
_base_ = 'detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(data_preprocessor=dict(colour=dict()))
train_pipeline = [
    dict(type='detco_mm.DetCoViews', colour_jitter=None, grey_prob=0, blur=None),
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=64),
    dict(type='detco_mm.PackDetCoInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
