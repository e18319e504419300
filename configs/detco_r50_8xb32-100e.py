# The paper's recipe over 100 epochs.
_base_ = 'detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

train_cfg = dict(max_epochs=100)
