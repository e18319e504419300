# Keys keep the order of their rank's batch: BN's statistics tell a query its key (MoCo, section 3.3).
_base_ = '../detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(shuffle_bn=False)
