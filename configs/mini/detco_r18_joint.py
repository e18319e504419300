# The unofficial implementation's local projection, 9C - 9C - 128.
_base_ = 'detco_r18.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(neck=dict(local_projection='joint'))
