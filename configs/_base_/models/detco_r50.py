# DetCo on ResNet-50 with the paper's and MoCo v2's hyper-parameters.
model = dict(
    type='detco_mm.DetCo',
    queue_len=65536,
    momentum=0.999,
    # one process imitates several, so that BN leaks nothing
    bn_splits='auto',
    data_preprocessor=dict(
        type='detco_mm.DetCoDataPreprocessor',
        # ImageNet's statistics, RGB
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    ),
    # its four stages; the stem is 0
    backbone=dict(type='ResNet', depth=50, out_indices=(1, 2, 3, 4), norm_cfg=dict(type='BN')),
    neck=dict(type='detco_mm.DetCoNeck', out_channels=128),
    head=dict(
        type='detco_mm.DetCoHead',
        stage_weights=dict(res2=0.1, res3=0.4, res4=0.7, res5=1.0),
        pairs=('g2g', 'l2l', 'l2g'),
        temperature=0.2,
    ),
)
