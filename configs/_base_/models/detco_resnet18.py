# DetCo on ResNet-18.
_base_ = 'detco_r50.py'

model = dict(backbone=dict(depth=18))
