# The paper's recipe over 100 epochs.
_base_ = 'detco_r50_8xb32.py'

max_epochs = 100
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=max_epochs)
