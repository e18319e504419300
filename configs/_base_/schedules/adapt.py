# To go on from trained weights on images of one's own: AdamW at a low rate, a warm-up, a short cosine. Not tuned.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-4, weight_decay=0.01, fused=True))
param_scheduler = [
    # the projections are new, and the queue holds no real key before it has been filled once
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=60),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(type='detco_mm.ResumableTrainLoop', max_epochs=8)
auto_scale_lr = dict(base_batch_size=32)
