# A shorter queue than MoCo v2's 65536 keys.
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(queue_len=4096)
