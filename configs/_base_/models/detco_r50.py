# DetCo on ResNet-50 with the paper's and MoCo v2's hyper-parameters.
model = dict(
    type='detco_mm.DetCo',
    queue_len=65536,
    momentum=0.999,
    data_preprocessor=dict(
        type='detco_mm.DetCoDataPreprocessor',
        # ImageNet's statistics, RGB
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    ),
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='BN')),
    neck=dict(type='detco_mm.DetCoNeck', in_channels=(256, 512, 1024, 2048), out_channels=128),
    head=dict(
        type='detco_mm.DetCoHead',
        stage_weights=dict(res2=0.1, res3=0.4, res4=0.7, res5=1.0),
        pairs=('g2g', 'l2l', 'l2g'),
        temperature=0.2,
    ),
)
