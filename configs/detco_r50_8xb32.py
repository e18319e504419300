# The paper's recipe: ImageNet-1k, 200 epochs, 8 GPUs x 32 images, the row "DetCo".
_base_ = [
    '_base_/models/detco_r50.py',
    '_base_/datasets/images.py',
    '_base_/schedules/sgd_200e.py',
    '_base_/default_runtime.py',
]
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'
