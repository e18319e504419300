# The paper's recipe on ResNet-18.
_base_ = [
    '_base_/models/detco_resnet18.py',
    '_base_/datasets/images.py',
    '_base_/schedules/sgd_200e.py',
    '_base_/default_runtime.py',
]
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'
