# DetCo on the backbone of RTMDet-s: MMDetection's own class, so that an export fits as it is.
_base_ = 'detco_r50.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.CSPNeXt',
        arch='P5',
        expand_ratio=0.5,
        deepen_factor=0.33,
        widen_factor=0.5,
        channel_attention=True,
        # 0 is the stem; RTMDet itself takes (2, 3, 4)
        out_indices=(1, 2, 3, 4),
        # plain BN where RTMDet has SyncBN, whose statistics over all GPUs would undo the shuffle
        norm_cfg=dict(type='BN'),
        act_cfg=dict(type='SiLU', inplace=True),
    )
)
