default_scope = 'mmselfsup'
# repairs of the stack, before a Runner is built: launchers without a GPU need them
custom_imports = dict(imports=['detco_mm'])

# By name, so that each can be set alone, as default_hooks.watchdog.timeout=1800, or be left out with None.
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    progress=dict(type='detco_mm.ShowProgress'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='detco_mm.SafeCheckpoint', interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    run_checks=dict(type='detco_mm.RunChecks'),
    check_images=dict(type='detco_mm.CheckImages'),
    check_weights=dict(type='detco_mm.CheckWeights'),
    record_pixels=dict(type='detco_mm.RecordPixels'),
    match_layout=dict(type='detco_mm.MatchLayout'),
    count_skipped=dict(type='detco_mm.CountSkipped'),
    stop_on_signal=dict(type='detco_mm.StopOnSignal'),
    watchdog=dict(type='detco_mm.Watchdog'),
    stop_on_non_finite=dict(type='detco_mm.StopOnNonFinite'),
    reestimate_bn=dict(type='detco_mm.ReestimateBN'),
    watch_contrast=dict(type='detco_mm.WatchContrast'),
    report=dict(type='detco_mm.WriteReport'),
    # default_hooks.probe.ann_file=labels.json default_hooks.probe.data_prefix=images/ turns it on: docs/probe.md
    probe=dict(type='detco_mm.Probe', ann_file=None, data_prefix=''),
)

env_cfg = dict(
    cudnn_benchmark=True,
    # None: as the system starts processes, by fork on Linux and by spawn on macOS and Windows
    mp_cfg=dict(mp_start_method=None, opencv_num_threads=0),
    # seconds, in place of NCCL's 600: more than the watchdog's first_step, 1800, and it is the watchdog that names a rank
    dist_cfg=dict(backend='nccl', timeout=2400),
)
randomness = dict(seed=0)

log_processor = dict(window_size=10)
# the tools' --tracker adds TensorBoard, Weights & Biases or MLflow
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False
