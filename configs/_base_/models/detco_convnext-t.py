# DetCo on ConvNeXt-T, by MMClassification's class: its last map is not averaged before its norm.
_base_ = 'detco_r50.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmcls.ConvNeXt',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.4,
        layer_scale_init_value=1.0,
        gap_before_final_norm=False,
    )
)
