# All stages weigh the same.
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(head=dict(stage_weights=dict(res2=1.0, res3=1.0, res4=1.0, res5=1.0)))
