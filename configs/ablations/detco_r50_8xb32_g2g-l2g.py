# Multi-level supervision and the cross contrast, without a contrast among the local patches.
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(head=dict(pairs=('g2g', 'l2g')))
