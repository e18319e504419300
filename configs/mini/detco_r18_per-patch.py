# PIRL's local projection: C - C - 128 for each patch, then 9 x 128 - 128.
_base_ = 'detco_r18.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(neck=dict(local_projection='per_patch'))
