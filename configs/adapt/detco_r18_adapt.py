# Go on from any weights of a ResNet-18 (--from FILE) on a few thousand images; for one CPU core.
_base_ = 'detco_lite0_adapt.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(
    data_preprocessor=dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    backbone=dict(
        _delete_=True, type='ResNet', depth=18, out_indices=(1, 2, 3, 4), norm_cfg=dict(type='BN')))
