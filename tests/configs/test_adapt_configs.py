"""The recipe of going on from weights, and the detectors of the study on photographs."""

import re
from pathlib import Path

import pytest

pytest.importorskip('mmdet')

import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import default_collate

from detco_mm.datasets import make_embedded
from detco_mm.engine.settings import apply_command_line
from detco_mm.experiments.data_sets import DataSet, point_detector
from detco_mm.weights import use_backbone
from tests.configs.test_pretrain_configs import difference
from tests.integration.small_run import photographs

CONFIGS = Path(__file__).parents[2] / 'configs/adapt'
RECIPES = sorted(path.stem for path in CONFIGS.glob('*_adapt.py'))
DETECTORS = sorted(path.stem for path in CONFIGS.glob('faster-rcnn*.py'))


def read(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


@pytest.mark.parametrize('name', RECIPES)
def test_a_recipe_is_low_short_warmed_up_and_its_queue_is_below_some_thousand_images(name):
    cfg = read(name)
    warm_up, cosine = cfg.param_scheduler
    assert cfg.optim_wrapper.optimizer.lr == 2e-4 and warm_up.end == 60 and cosine.type == 'CosineAnnealingLR'
    assert cfg.train_cfg.max_epochs == 8 and cfg.model.queue_len <= 4096 and cfg.model.momentum == 0.996
    assert warm_up.end < cfg.train_cfg.max_epochs * cfg.model.queue_len // cfg.train_dataloader.batch_size


def test_moco_v2_goes_on_as_detco_does_but_for_its_head():
    found = difference(read('mocov2_lite0_adapt')._cfg_dict.to_dict(), read('detco_lite0_adapt')._cfg_dict.to_dict())
    stages = {f'model.head.stage_weights.res{at}': 0 for at in (2, 3, 4)}
    assert found == {'model.head.pairs': ('g2g',), **stages}


@pytest.mark.parametrize('name', ['mocov2_lite0_adapt', 'detco_r18_adapt'])
def test_a_recipe_of_one_core_gives_every_trained_weight_a_gradient(name, tmp_path):
    cfg = read(name)
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        model = MODELS.build(cfg.model)
        steps = Compose([TRANSFORMS.build(step) for step in cfg.train_dataloader.dataset.pipeline])
    items = [steps({'img_path': str(path)})['inputs'] for path in photographs(tmp_path, 4).iterdir()]
    batch = model.data_preprocessor({'inputs': default_collate(items), 'data_samples': []}, training=True)
    losses = model.loss(batch['inputs'])
    sum(value for key, value in losses.items() if key.startswith('loss')).backward()
    encoder = [*model.backbone.parameters(), *model.neck.parameters()]
    assert all(weight.grad is not None for weight in encoder if weight.requires_grad)


@pytest.mark.parametrize('name', DETECTORS)
def test_the_pixels_of_a_detector_are_those_of_its_name(name):
    px = int(re.search(r'(\d+)px', name)[1])
    cfg = read(name)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert [step.scale for step in loader.dataset.pipeline if step.type == 'Resize'] == [(px, px)]
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[1].end == cfg.default_hooks.checkpoint.interval


def test_a_detector_trains_on_a_set_that_a_study_leads_it_to(tmp_path):
    root = tmp_path / 'set'
    make_embedded(root, unlabelled=2, train=4, val=2, test=2, workers=1)
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        backbone = MODELS.build(read('detco_lite0_adapt').model.backbone)
    torch.save(dict(state_dict=backbone.state_dict()), tmp_path / 'lite0.pth')
    cfg = read('faster-rcnn_lite0_fpn_192px')
    point_detector(cfg, DataSet('drawn', root))
    cfg.work_dir = str(tmp_path / 'run')
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.train_dataloader.batch_size = 2
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        next(step for step in loader.dataset.pipeline if step.type == 'Resize').scale = (96, 96)
    apply_command_line(cfg)
    init_default_scope('mmdet')
    use_backbone(cfg, tmp_path / 'lite0.pth')
    cfg.experiment_name = cfg.visualizer.name = 'a study'  # MMEngine keeps visualizers by their name
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2 and runner.model.roi_head.bbox_head.num_classes == 8
    convolutions = [weight for weight in runner.model.parameters() if weight.ndim == 4]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in convolutions)
