"""A linear classifier on frozen features, ImageNet, with MoCo's settings (arXiv 1911.05722, section 4.1).

The validation images' pipeline is also that of tools/eval_knn.py.
"""

_base_ = [
    'mmcls::_base_/models/resnet50.py',
    'mmcls::_base_/datasets/imagenet_bs32_pil_resize.py',
    'mmcls::_base_/schedules/imagenet_bs256.py',
    'mmcls::_base_/default_runtime.py',
]

model = dict(backbone=dict(frozen_stages=4))

# The base wants lists in meta/; the folders say the same.
train_dataloader = dict(dataset=dict(ann_file=''))
val_dataloader = dict(dataset=dict(ann_file=''))
test_dataloader = dict(dataset=dict(ann_file=''))

optim_wrapper = dict(optimizer=dict(lr=30.0, weight_decay=0.0))
param_scheduler = dict(milestones=[60, 80])
default_hooks = dict(checkpoint=dict(interval=10, max_keep_ckpts=3))
