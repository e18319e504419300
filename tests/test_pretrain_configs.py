"""The pre-training configs: the paper's recipe, and a run of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.integration.small_run import photographs
from tests.integration.test_resume import losses

ROOT = Path(__file__).parents[1]
FULL = ['detco_r50_8xb32', 'detco_r50_8xb32-100e', 'detco_r50_8xb32-800e', 'detco_r50_8xb32_aa']


def read(name):
    return Config.fromfile(ROOT / f'configs/{name}.py')


def test_the_recipe_is_the_papers():
    cfg = read('detco_r50_8xb32')
    model, data, optimizer = cfg.model, cfg.train_dataloader, cfg.optim_wrapper.optimizer
    assert (model.queue_len, model.momentum, model.head.temperature) == (65536, 0.999, 0.2)
    assert model.head.stage_weights == dict(res2=0.1, res3=0.4, res4=0.7, res5=1.0)
    assert model.head.pairs == ('g2g', 'l2l', 'l2g') and model.neck.out_channels == 128
    assert (data.batch_size, cfg.auto_scale_lr.base_batch_size) == (32, 256)
    assert optimizer == dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4)
    assert [step['type'] for step in data.dataset.pipeline] == [
        'detco_mm.DetCoViews',
        'detco_mm.JigsawPatches',
        'detco_mm.PackDetCoInputs',
    ]


@pytest.mark.parametrize(('name', 'epochs'), zip(FULL, (200, 100, 800, 200), strict=True))
def test_the_cosine_ends_with_the_training(name, epochs):
    cfg = read(name)
    assert cfg.train_cfg.max_epochs == epochs
    assert [(schedule.type, schedule.T_max) for schedule in cfg.param_scheduler] == [('CosineAnnealingLR', epochs)]


def test_aa_differs_from_its_sibling_by_rand_augment_alone():
    with_aa, without = (read(name)._cfg_dict.to_dict() for name in (FULL[3], FULL[0]))
    for cfg in (with_aa, without):
        cfg.pop('train_pipeline')
    assert with_aa['train_dataloader']['dataset']['pipeline'][0].pop('rand_augment') == dict(num_ops=2, magnitude=9)
    assert with_aa == without


def test_the_recipe_trains_at_full_size(tmp_path):
    images = photographs(tmp_path / 'images', 4)
    line = [sys.executable, 'tools/train.py', f'configs/{FULL[3]}.py', '--work-dir', tmp_path / 'run', '--amp',
            '--cfg-options', f'data.root={images}', 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=1',
            'train_cfg.max_epochs=1', 'default_hooks.logger.interval=1', 'default_hooks.checkpoint=None']  # fmt: skip
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '2'})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = losses(tmp_path / 'run')
    assert len(rows) == 2 and all(0 < row['loss'] < 80 for row in rows.values())  # chance: 6.6 ln 65537 = 73
