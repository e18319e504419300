"""Linear SVMs on frozen features, VOC07: tools/eval_svm.py reads this. Images as in MMSelfSup's benchmark."""

_base_ = ['mmcls::_base_/models/resnet50.py', 'mmcls::_base_/default_runtime.py']

# ImageNet's statistics, RGB
data_preprocessor = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)

# Shorter side to 256, then the whole image to 224 x 224.
pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short'),
    dict(type='Resize', scale=224),
    dict(type='PackClsInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOC',
        data_root='data/VOCdevkit/VOC2007',
        image_set_path='ImageSets/Main/trainval.txt',
        pipeline=pipeline,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VOC',
        data_root='data/VOCdevkit/VOC2007',
        image_set_path='ImageSets/Main/test.txt',
        pipeline=pipeline,
    ),
)
