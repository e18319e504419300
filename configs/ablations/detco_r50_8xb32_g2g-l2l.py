# Multi-level supervision and local patches, without the cross contrast.
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(head=dict(pairs=('g2g', 'l2l')))
