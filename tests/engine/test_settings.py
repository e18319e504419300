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
            train_dataloader=dict(dataset=dict(type='detco_mm.ImageFolder', data_root='a')),
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
@pytest.mark.parametrize('depth', [0, 1, 2])
def test_data_root_is_short_for_the_data_sets_own_which_wins_however_it_is_wrapped(options, root, depth):
    cfg = config()
    for _ in range(depth):
        cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=cfg.train_dataloader.dataset)
        options = {key.replace('dataset.data_root', 'dataset.dataset.data_root'): options[key] for key in options}
    apply_command_line(cfg, options)
    dataset = cfg.train_dataloader.dataset
    for _ in range(depth):
        dataset = dataset.dataset
    assert dataset.data_root == root and 'data' not in cfg


def test_a_config_of_version_0_1_may_still_name_data_root(tmp_path):
    base = (ROOT / 'configs/detco_r50_8xb32.py').as_posix()
    (tmp_path / 'child.py').write_text(f"_base_ = '{base}'\ndata = dict(root='mine', ann_file='list.txt')\n")
    cfg = Config.fromfile(tmp_path / 'child.py')
    apply_command_line(cfg)
    assert (cfg.train_dataloader.dataset.data_root, cfg.train_dataloader.dataset.ann_file) == ('mine', 'list.txt')


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


def test_trackers_are_added_to_what_the_config_says_and_must_be_installed():
    cfg = config(visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]))
    for _ in range(2):
        apply_command_line(cfg, trackers=['tensorboard'])
    assert [backend.type for backend in cfg.visualizer.vis_backends] == ['LocalVisBackend', 'TensorboardVisBackend']
    with pytest.raises(ValueError, match='--tracker paper: choose from tensorboard, wandb, mlflow'):
        apply_command_line(config(), trackers=['paper'])
    with pytest.raises(ModuleNotFoundError, match='--tracker mlflow needs mlflow: pip install mlflow'):
        apply_command_line(config(), trackers=['mlflow'])
