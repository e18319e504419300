# All contrasts at res2 alone.
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(head=dict(stage_weights=dict(_delete_=True, res2=1.0)))
