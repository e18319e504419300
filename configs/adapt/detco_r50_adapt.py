# Go on from any weights of a ResNet-50 (--from FILE) on some ten thousand images of one's own; for one GPU.
_base_ = [
    '../_base_/models/detco_r50.py',
    '../_base_/datasets/images.py',
    '../_base_/schedules/adapt.py',
    '../_base_/default_runtime.py',
]
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

# Queue below the number of images; a key encoder that averages over 250 steps.
model = dict(queue_len=4096, momentum=0.996)
