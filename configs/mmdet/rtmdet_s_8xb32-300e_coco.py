"""RTMDet-s, 300 epochs on COCO: MMDetection's recipe, from a backbone that DetCo trained (detco_cspnext-s_8xb32.py).

The pixels are those of pre-training, RGB by ImageNet's statistics: RTMDet's own weights know BGR, and features that
meet swapped channels are worth less. Fine-tuned by this config, a detector keeps RGB.
"""

_base_ = 'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(init_cfg=None))
