# DetCo on timm's efficientnet_lite0; another of timm's networks is another model_name, with its own out_indices.
_base_ = 'detco_r50.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmcls.TIMMBackbone',
        model_name='efficientnet_lite0',
        features_only=True,
        pretrained=False,
        # 0 has stride 2
        out_indices=(1, 2, 3, 4),
    )
)
