# A shorter queue than MoCo v2's 65536 keys.
_base_ = '../detco_r50_8xb32.py'

model = dict(queue_len=4096)
