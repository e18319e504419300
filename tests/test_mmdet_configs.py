from pathlib import Path

import pytest
import torch

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from detco_mm.datasets import CLASS_NAMES, make_embedded

CONFIGS = Path(__file__).parents[1] / 'configs'
COCO, MINI = CONFIGS / 'mmdet/mask-rcnn_r50_fpn_1x_coco.py', CONFIGS / 'mini/mask-rcnn_r18_fpn_embedded.py'


def build(cfg):
    from mmdet.registry import MODELS

    init_default_scope('mmdet')
    return MODELS.build(cfg.model)


def norms(module, type_):
    return [m for m in module.modules() if isinstance(m, type_)]


def test_the_coco_config_states_the_recipe_of_the_published_tables():
    cfg = Config.fromfile(COCO)
    assert cfg.train_cfg == dict(type='IterBasedTrainLoop', max_iters=90000, val_interval=30000)
    assert cfg.param_scheduler[1].milestones == [60000, 80000]
    assert cfg.optim_wrapper.optimizer.lr == 0.02 and cfg.auto_scale_lr.base_batch_size == 16
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.bgr_to_rgb and preprocessor.mean == [123.675, 116.28, 103.53]
    assert preprocessor.std == [58.395, 57.12, 57.375]
    resize = cfg.train_dataloader.dataset.pipeline[2]
    assert resize.scales == [(1333, side) for side in (640, 672, 704, 736, 768, 800)]
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (1333, 800)


def test_the_coco_detector_has_sync_bn_everywhere_and_freezes_nothing():
    cfg = Config.fromfile(COCO)
    assert cfg.model.backbone.init_cfg is None
    model = build(cfg)
    for part in (model.backbone, model.neck, model.roi_head.bbox_head, model.roi_head.mask_head):
        assert norms(part, torch.nn.SyncBatchNorm)
        assert not norms(part, torch.nn.BatchNorm2d)
    model.train()
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in norms(model, torch.nn.SyncBatchNorm))
    assert model.backbone.style == 'pytorch'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'embedded'
    make_embedded(root, unlabelled=0, train=8, val=0, test=0)
    return root


def test_the_mini_config_names_the_classes_of_the_embedded_set():
    cfg = Config.fromfile(MINI)
    assert tuple(cfg.classes) == CLASS_NAMES
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert tuple(loader.dataset.metainfo.classes) == CLASS_NAMES
    assert cfg.model.roi_head.bbox_head.num_classes == cfg.model.roi_head.mask_head.num_classes == len(CLASS_NAMES)


def test_the_mini_detector_learns_from_every_label_of_the_embedded_set_with_every_parameter(data):
    cfg = Config.fromfile(MINI)
    init_default_scope('mmdet')
    loader = cfg.train_dataloader
    loader.dataset.data_root = str(data)
    loader.update(num_workers=0, persistent_workers=False, collate_fn=pseudo_collate)
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    assert all(len(sample.gt_instances) and len(sample.gt_instances.masks) for sample in batch['data_samples'])
    assert not any(sample.ignored_instances.bboxes.numel() for sample in batch['data_samples'])

    torch.manual_seed(0)
    model = build(cfg).train()
    inputs = model.data_preprocessor(batch, training=True)
    assert inputs['inputs'].shape == (4, 3, 128, 160)
    loss, logs = model.parse_losses(model(**inputs, mode='loss'))
    assert {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox', 'loss_mask'} <= set(logs)
    assert torch.isfinite(loss)
    loss.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
