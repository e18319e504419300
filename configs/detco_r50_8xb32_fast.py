# The paper's recipe on recent GPUs: bf16, channels last, and both backbones compiled, each of which may be switched off.
_base_ = 'detco_r50_8xb32.py'
work_dir = 'work_dirs/{{ fileBasenameNoExtension }}'

model = dict(compile_backbone=True, data_preprocessor=dict(channels_last=True))
optim_wrapper = dict(type='detco_mm.BFloat16OptimWrapper')
