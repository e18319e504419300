# DetCo on timm's tf_efficientnet_lite0; another of timm's networks is another model_name, with its own out_indices.
# tf_ pads as TensorFlow does, which trained the weights that are released for it.
_base_ = 'detco_r50.py'

model = dict(
    # the scale of TensorFlow's weights
    data_preprocessor=dict(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5)),
    backbone=dict(
        _delete_=True,
        type='mmcls.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        features_only=True,
        pretrained=False,
        # 0 has stride 2
        out_indices=(1, 2, 3, 4),
    )
)
