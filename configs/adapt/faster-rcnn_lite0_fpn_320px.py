"""Its sibling for small objects: images of 320 pixels, 300 iterations of 8."""

_base_ = 'faster-rcnn_lite0_fpn_192px_300i.py'

image_size = (320, 320)

train_pipeline = _base_.train_pipeline
train_pipeline[2].scale = image_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = image_size
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
