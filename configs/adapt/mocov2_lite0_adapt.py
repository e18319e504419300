# MoCo v2 in the place of DetCo, all else equal: the last stage alone, global views alone.
_base_ = 'detco_lite0_adapt.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(head=dict(pairs=('g2g',), stage_weights=dict(res2=0, res3=0, res4=0)))

# The local views go unused: nothing is decoded or resized for them.
train_pipeline = [
    dict(type='detco_mm.DetCoViews', global_size=96, local_from_global=True),
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=1),
    dict(type='detco_mm.PackDetCoInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
