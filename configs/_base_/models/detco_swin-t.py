# DetCo on Swin-T. LayerNorm needs no shuffle. MoCo v3 trains transformers by AdamW; SGD is made for ResNets.
_base_ = 'detco_r50.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.SwinTransformer',
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        drop_path_rate=0.2,
        out_indices=(0, 1, 2, 3),
    )
)
