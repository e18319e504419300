"""What the command line does to a config."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from detco_mm.engine.settings import apply_command_line

ROOT = Path(__file__).parents[2]
ON_CPU = not torch.cuda.is_available()


def config(**extra):
    return Config(
        dict(
            data=dict(root='a', ann_file=''),
            train_dataloader=dict(dataset=dict(type='detco_mm.ImageFolder')),
            model=dict(backbone=dict(norm_cfg=dict(type='SyncBN')), heads=[dict(norm_cfg=dict(type='SyncBN'))]),
            optim_wrapper=dict(type='OptimWrapper'),
            **extra,
        )
    )


@pytest.mark.parametrize(
    ('options', 'root'),
    [
        ({}, 'a'),
        ({'data.root': 'b'}, 'b'),
        ({'train_dataloader.dataset.data_root': 'c'}, 'c'),
        ({'train_dataloader.dataset.data_root': 'c', 'data.root': 'b'}, 'c'),
    ],
)
def test_data_root_leads_the_data_unless_the_dataset_is_named_itself(options, root):
    cfg = config()
    apply_command_line(cfg, options)
    assert cfg.train_dataloader.dataset.data_root == root


def test_a_child_config_needs_to_name_only_data_root(tmp_path):
    (tmp_path / 'base.py').write_text("data = dict(root='a')\ntrain_dataloader = dict(dataset=dict())\n")
    (tmp_path / 'child.py').write_text("_base_ = 'base.py'\ndata = dict(root='mine')\nmodel = dict()\n")
    cfg = Config.fromfile(tmp_path / 'child.py')
    apply_command_line(cfg)
    assert cfg.train_dataloader.dataset.data_root == 'mine'


def test_a_child_config_may_name_the_datasets_own_folder_as_well(tmp_path):
    base = (ROOT / 'configs/detco_r50_8xb32.py').as_posix()
    (tmp_path / 'child.py').write_text(f"_base_ = '{base}'\ntrain_dataloader = dict(dataset=dict(data_root='mine'))\n")
    cfg = Config.fromfile(tmp_path / 'child.py')
    apply_command_line(cfg)
    assert cfg.train_dataloader.dataset.data_root == 'mine'


@pytest.mark.skipif(not ON_CPU, reason='SyncBN runs on a GPU')
def test_without_a_gpu_bn_takes_the_place_of_sync_bn_and_amp_is_bf16():
    cfg = config()
    apply_command_line(cfg, amp=True)
    assert cfg.model.backbone.norm_cfg.type == cfg.model.heads[0].norm_cfg.type == 'BN'
    assert cfg.optim_wrapper.type == 'detco_mm.BFloat16OptimWrapper'


@pytest.mark.parametrize('kind', ['AmpOptimWrapper', 'detco_mm.BFloat16OptimWrapper'])
def test_amp_leaves_a_config_that_is_in_mixed_precision_as_it_is(kind):
    cfg = Config.fromfile(ROOT / 'configs/detco_r50_8xb32.py')
    apply_command_line(cfg, {'optim_wrapper.type': kind}, amp=True)
    assert cfg.optim_wrapper.type == kind


def test_a_first_step_that_overflows_in_fp16_leaves_no_trace_in_weights_and_momentum():
    cfg = Config.fromfile(ROOT / 'configs/detco_r50_8xb32.py')
    apply_command_line(cfg, {'optim_wrapper.type': 'AmpOptimWrapper'})
    arguments = dict(cfg.optim_wrapper.optimizer)
    assert not arguments['fused']
    ends = []
    for overflows in (False, True):
        weight = torch.nn.Parameter(torch.ones(1000))
        optimizer = getattr(torch.optim, arguments['type'])(
            [weight], **{k: arguments[k] for k in arguments if k != 'type'}
        )
        scaler = torch.amp.GradScaler('cpu')
        for factor in [torch.inf] * overflows + [1.0, 2.0]:
            optimizer.zero_grad()
            scaler.scale((weight * factor).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
        ends.append(weight.detach())
    torch.testing.assert_close(*ends)


def test_the_learning_rate_scales_only_from_a_known_batch():
    with pytest.raises(ValueError, match='base_batch_size'):
        apply_command_line(config(), auto_scale_lr=True)
    cfg = config(auto_scale_lr=dict(base_batch_size=256))
    apply_command_line(cfg, auto_scale_lr=True)
    assert cfg.auto_scale_lr.enable


@pytest.mark.parametrize(('resume', 'extra'), [('gone.pth', {}), (None, dict(load_from='gone.pth'))])
def test_a_missing_checkpoint_stops_before_anything_is_built(resume, extra):
    with pytest.raises(FileNotFoundError, match='no checkpoint at "gone.pth"'):
        apply_command_line(config(**extra), resume=resume)


def test_resume_without_a_path_takes_the_newest_of_the_work_dir_and_before_there_is_one_what_the_config_says(tmp_path):
    weights = tmp_path / 'weights.pth'
    torch.save(dict(meta=dict(iter=0)), weights)
    cfg = config(load_from=str(weights), work_dir=str(tmp_path))
    apply_command_line(cfg, resume='auto')
    assert not cfg.get('resume') and cfg.load_from == str(weights)
    torch.save(dict(meta=dict(iter=3)), tmp_path / 'iter_3.pth')
    apply_command_line(cfg, resume='auto')
    assert cfg.resume is True and cfg.load_from == str(tmp_path / 'iter_3.pth')


def test_a_damaged_checkpoint_that_is_named_stops_before_anything_is_built(tmp_path):
    path = tmp_path / 'iter_3.pth'
    torch.save(dict(w=torch.randn(100)), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match='iter_3.pth" is damaged .*: name another one'):
        apply_command_line(config(), resume=str(path))


def test_any_default_hook_is_left_out_by_none():
    hooks = dict(watchdog=None, timer=None, stop_on_signal=dict(type='detco_mm.StopOnSignal'))
    cfg = config(default_hooks=hooks)
    apply_command_line(cfg)
    # of its own, MMEngine must be told
    assert cfg.default_hooks == dict(timer=None, stop_on_signal=dict(type='detco_mm.StopOnSignal'))
