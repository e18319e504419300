# The unofficial implementation's local projection, 9C - 9C - 128: 455.7 M parameters in place of 51 M.
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(neck=dict(local_projection='joint'))
