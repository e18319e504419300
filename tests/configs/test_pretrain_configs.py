"""The pre-training configs: the paper's recipe, and a run of it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope
from torch.utils.data import default_collate

from detco_mm.weights import export_backbone
from tests.integration import forked
from tests.integration.small_run import photographs
from tests.integration.test_resume import losses
from tests.models.zoo import NARROW

ROOT = Path(__file__).parents[2]
FULL = ['detco_r50_8xb32', 'detco_r50_8xb32-100e', 'detco_r50_8xb32-800e', 'detco_r50_8xb32_aa']


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 4)


def read(name):
    return Config.fromfile(ROOT / f'configs/{name}.py')


def test_the_recipe_is_the_papers():
    cfg = read('detco_r50_8xb32')
    model, data, optimizer = cfg.model, cfg.train_dataloader, cfg.optim_wrapper.optimizer
    assert (model.queue_len, model.momentum, model.head.temperature) == (65536, 0.999, 0.2)
    assert model.head.stage_weights == dict(res2=0.1, res3=0.4, res4=0.7, res5=1.0)
    assert model.head.pairs == ('g2g', 'l2l', 'l2g') and model.neck.out_channels == 128
    assert (data.batch_size, cfg.auto_scale_lr.base_batch_size) == (32, 256)
    fused = {'fused': True}  # the same arithmetic in one pass over memory
    assert optimizer == dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4, **fused)
    assert [step['type'] for step in data.dataset.pipeline] == [
        'detco_mm.DetCoViews',
        'detco_mm.JigsawPatches',
        'detco_mm.PackDetCoInputs',
    ]


@pytest.mark.parametrize(('name', 'epochs'), zip(FULL, (200, 100, 800, 200), strict=True))
def test_the_cosine_ends_with_the_training(name, epochs):
    cfg = read(name)
    assert cfg.train_cfg.max_epochs == epochs
    (schedule,) = cfg.param_scheduler
    assert schedule.type == 'CosineAnnealingLR' and not {'T_max', 'end'} & set(schedule)  # MMEngine's default: the end


def test_aa_differs_from_its_sibling_by_rand_augment_alone():
    with_aa, without = (read(name)._cfg_dict.to_dict() for name in (FULL[3], FULL[0]))
    for cfg in (with_aa, without):
        cfg.pop('train_pipeline'), cfg.pop('work_dir')
    assert with_aa['train_dataloader']['dataset']['pipeline'][0].pop('rand_augment') == dict(num_ops=2, magnitude=9)
    assert with_aa == without


def test_device_colour_differs_from_its_sibling_by_where_colours_change_alone():
    moved, usual = (read(name)._cfg_dict.to_dict() for name in ('detco_r50_8xb32_device-colour', FULL[0]))
    assert difference(moved, usual) == {'model.data_preprocessor.colour': {}}
    pipelines = [cfg['train_dataloader']['dataset']['pipeline'] for cfg in (moved, usual)]
    assert pipelines[0][0] == {**pipelines[1][0], 'colour_jitter': None, 'grey_prob': 0, 'blur': None}
    assert pipelines[0][1:] == pipelines[1][1:]


def test_fast_differs_from_its_sibling_by_its_three_switches_alone():
    fast, usual = (read(name)._cfg_dict.to_dict() for name in ('detco_r50_8xb32_fast', FULL[0]))
    assert difference(fast, usual) == {
        'model.compile_backbone': True,
        'model.data_preprocessor.channels_last': True,
        'optim_wrapper.type': 'detco_mm.BFloat16OptimWrapper',
    }


def test_the_recipe_trains_at_full_size(tmp_path):
    images = photographs(tmp_path / 'images', 4)
    line = [sys.executable, 'tools/train.py', f'configs/{FULL[3]}.py', '--work-dir', tmp_path / 'run', '--amp',
            '--cfg-options', f'data.root={images}', 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=1',
            'train_cfg.max_epochs=1', 'default_hooks.logger.interval=1', 'default_hooks.checkpoint=None']  # fmt: skip
    done = forked.run(line)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = losses(tmp_path / 'run')
    assert len(rows) == 2 and all(0 < row['loss'] < 80 for row in rows.values())  # chance: 6.6 ln 65537 = 73


ABLATIONS = sorted(path.stem for path in (ROOT / 'configs/ablations').glob('*.py'))
UNIFORM = dict(res2=1.0, res3=1.0, res4=1.0, res5=1.0)


def difference(one, other, prefix=''):
    """The settings in which two configs differ, the pipeline aside: dotted name -> value in the first."""
    found = {}
    for key in sorted({*one, *other} - {'pipeline', 'train_pipeline', 'work_dir'}):
        mine, theirs = one.get(key), other.get(key)
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found |= difference(mine, theirs, f'{prefix}{key}.')
        elif mine != theirs:
            found[f'{prefix}{key}'] = mine
    return found


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('mocov2_r50_8xb32', {'pairs': ('g2g',), **{f'stage_weights.res{n}': 0 for n in (2, 3, 4)}}),
        ('detco_r50_8xb32_g2g', {'pairs': ('g2g',)}),
        ('detco_r50_8xb32_g2g-l2l', {'pairs': ('g2g', 'l2l')}),
        ('detco_r50_8xb32_g2g-l2g', {'pairs': ('g2g', 'l2g')}),
        ('detco_r50_8xb32_uniform', {'stage_weights.res2': 1.0, 'stage_weights.res3': 1.0, 'stage_weights.res4': 1.0}),
        *((f'detco_r50_8xb32_res{n}', {}) for n in (2, 3, 4, 5)),
        ('detco_r50_8xb32_t007', {'temperature': 0.07}),
    ],
)  # fmt: skip
def test_an_ablation_of_the_objective_changes_the_head_alone(name, expected):
    found = difference(read(f'ablations/{name}')._cfg_dict.to_dict(), read('detco_r50_8xb32')._cfg_dict.to_dict())
    if '_res' in name:
        stage = name.rsplit('_', 1)[1]
        weights = read(f'ablations/{name}').model.head.stage_weights
        assert weights == {stage: 1.0} and all(key.startswith('model.head.stage_weights') for key in found)
    else:
        assert found == {f'model.head.{key}': value for key, value in expected.items()}


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('detco_r50_8xb32_k4096', {'model.queue_len': 4096}),
        ('detco_r50_8xb32_k16384', {'model.queue_len': 16384}),
        ('detco_r50_8xb32_joint', {'model.neck.local_projection': 'joint'}),
        ('detco_r50_8xb32_per-patch', {'model.neck.local_projection': 'per_patch'}),
        ('detco_r50_8xb32_no-shuffle', {'model.shuffle_bn': False}),
    ],
)
def test_an_ablation_of_the_model_changes_one_setting(name, expected):
    found = difference(read(f'ablations/{name}')._cfg_dict.to_dict(), read('detco_r50_8xb32')._cfg_dict.to_dict())
    assert found == expected


def test_every_ablation_is_tested():
    tested = [mark.args[1] for test in (test_an_ablation_of_the_objective_changes_the_head_alone,
              test_an_ablation_of_the_model_changes_one_setting) for mark in test.pytestmark]  # fmt: skip
    assert {name for cases in tested for name, _ in cases} | {'reference_r50_8xb32'} == set(ABLATIONS)


def test_the_reference_config_trains_as_its_readme_says():
    cfg = read('ablations/reference_r50_8xb32')
    views, jigsaw, _ = cfg.train_dataloader.dataset.pipeline
    assert (views.global_size, views.global_scale, views.local_from_global) == (255, (0.6, 1.0), True)
    assert (jigsaw.grid, jigsaw.patch_size) == (3, 64)
    assert (cfg.optim_wrapper.optimizer.lr, cfg.auto_scale_lr.base_batch_size) == (0.015, 128)
    assert cfg.param_scheduler == [dict(type='CosineAnnealingLR', by_epoch=True)]
    assert cfg.model.neck.local_projection == 'joint' and cfg.model.head.temperature == 0.2


@pytest.mark.parametrize('name', ABLATIONS)
def test_an_ablation_is_pre_trained_exported_and_fine_tuned(name, images, tmp_path):
    """Narrow and on small views: what differs is wired through to the loss, and nothing is lost on the way out."""
    pytest.importorskip('mmdet')
    from tests.models.tiny_detector import two_iterations

    cfg = read(f'ablations/{name}')
    cfg.model.backbone.update(depth=18, **NARROW)
    cfg.model.queue_len = 8
    views, jigsaw, pack = cfg.train_dataloader.dataset.pipeline
    jigsaw.patch_size = 24
    views.global_size, views.local_size = (72, 72) if views.get('local_from_global') else (64, 72)
    np.random.seed(0)
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        model = MODELS.build(cfg.model)
        steps = Compose([TRANSFORMS.build(step) for step in (views, jigsaw, pack)])
    items = [steps({'img_path': str(path)})['inputs'] for path in sorted(images.iterdir())]
    batch = model.data_preprocessor({'inputs': default_collate(items), 'data_samples': []}, training=True)
    trained = {key: weight for key, weight in model.named_parameters() if weight.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=0.01)
    for _ in range(2):
        losses = model.loss(batch['inputs'])
        optimizer.zero_grad()
        sum(value for key, value in losses.items() if key.startswith('loss')).backward()
        assert all(torch.isfinite(weight.grad).all() for weight in trained.values())
        optimizer.step()
    head = cfg.model.head
    terms = len(head.pairs) * sum(weight > 0 for weight in head.stage_weights.values())
    assert sum(key.startswith('loss') for key in losses) == terms

    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'checkpoint.pth')
    exported = export_backbone(tmp_path / 'checkpoint.pth', tmp_path / 'backbone.pth')
    with DefaultScope.overwrite_default_scope('mmdet'):
        backbone = MODELS.build(dict(type='ResNet', depth=18, norm_eval=False, **NARROW))
    backbone.load_state_dict(exported['state_dict'], strict=True)
    losses = two_iterations(backbone, [8, 16, 32, 64])
    assert all(0 < loss < float('inf') for loss in losses)
