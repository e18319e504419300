# DetCo on the backbone of YOLOX-s.
_base_ = 'detco_r50.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.CSPDarknet',
        deepen_factor=0.33,
        widen_factor=0.5,
        # 0 is the stem; YOLOX itself takes (2, 3, 4)
        out_indices=(1, 2, 3, 4),
        spp_kernal_sizes=(5, 9, 13),
        norm_cfg=dict(type='BN', momentum=0.03, eps=0.001),
        act_cfg=dict(type='Swish'),
    )
)
