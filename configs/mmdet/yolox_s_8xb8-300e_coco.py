"""YOLOX-s, 300 epochs on COCO: MMDetection's recipe, from a backbone that DetCo trained.

The pixels are those of pre-training, RGB by ImageNet's statistics, where YOLOX has raw BGR: the first convolution of a
pre-trained backbone would see numbers a hundred times as large.
"""

_base_ = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'

model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True))
