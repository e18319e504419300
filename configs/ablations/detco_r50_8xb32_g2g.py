# MoCo v2 with multi-level supervision.
_base_ = 'mocov2_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(head=dict(stage_weights=dict(res2=0.1, res3=0.4, res4=0.7)))
