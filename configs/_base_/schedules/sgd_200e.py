# MoCo v2: SGD, lr 0.03 at batch 256, cosine to 0 over 200 epochs.
optim_wrapper = dict(
    type='OptimWrapper',
    # fused: decay, momentum and step of a weight in one pass over memory
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4, fused=True),
)
# without an end of its own the schedule ends with the training
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type='detco_mm.ResumableTrainLoop', max_epochs=200)
# tools/train.py --auto-scale-lr: lr grows with the batch over all GPUs
auto_scale_lr = dict(base_batch_size=256)
