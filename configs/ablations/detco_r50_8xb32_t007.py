# MoCo v1's temperature, the unofficial implementation's default.
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(head=dict(temperature=0.07))
