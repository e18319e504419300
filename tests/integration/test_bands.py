"""Four bands of 16 bits all the way: pre-trained, exported, fine-tuned, with the same pixels."""

from functools import partial

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import detco_mm  # noqa: F401
from detco_mm.engine.exported_bn import reestimated
from detco_mm.engine.pixels import frozen_inputs, recorded, settle_pixels
from detco_mm.engine.settings import apply_command_line
from detco_mm.evaluation.frozen import object_crops, stage_features
from detco_mm.weights import export_backbone, load_backbone, use_backbone
from tests.datasets.satellite import four_bands
from tests.integration.small_run import CONFIG, NARROW, ROOT

SIZE = 64


def options(lines):
    """Read KEY=VALUE as the tools do."""
    from mmengine.config import DictAction

    namespace = type('Namespace', (), {})()
    DictAction([], 'options')(None, namespace, lines)
    return namespace.options


@pytest.fixture(scope='module')
def labels(tmp_path_factory):
    return four_bands(tmp_path_factory.mktemp('satellite') / 'images')


@pytest.fixture(scope='module')
def pretrained(labels, tmp_path_factory):
    """A run of two steps; returns its config as it was left behind, and its checkpoint."""
    work = tmp_path_factory.mktemp('pretrained')
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.work_dir = str(work)
    mine = [f'data.root={labels.parent / "images"}', 'data.channels=4', 'train_cfg.max_epochs=1']
    apply_command_line(cfg, options([*NARROW, *mine]))
    cfg.optim_wrapper.type = 'OptimWrapper'
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        settle_pixels(cfg)
        Runner.from_cfg(cfg).train()
    (left,) = work.glob('*.py')
    return Config.fromfile(left), work / 'epoch_1.pth'


def test_the_run_leaves_a_config_that_states_everything(pretrained):
    cfg, _ = pretrained
    pixels = cfg.train_dataloader.dataset.pipeline[0].pixels
    assert cfg.model.backbone.in_channels == pixels.channels == 4
    assert len(cfg.model.data_preprocessor.mean) == 4
    lows_and_highs = pixels.value_range.uint16
    assert [high for _, high in lows_and_highs] == [900, 1900, 2900, 3900]


def test_the_export_has_four_channels_and_says_so(pretrained, tmp_path):
    cfg, checkpoint = pretrained
    content = export_backbone(checkpoint, tmp_path / 'backbone.pth')
    assert content['state_dict']['conv1.weight'].shape[1] == 4
    known = recorded(tmp_path / 'backbone.pth')
    assert known['channels'] == 4 and len(known['mean']) == len(known['std']) == 4


def test_bn_statistics_of_an_export_are_of_the_same_bands_and_range(labels, pretrained, tmp_path):
    known = torch.load(pretrained[1], weights_only=True)['state_dict']
    statistics = partial(reestimated, images=labels.parent / 'images')
    found = export_backbone(pretrained[1], tmp_path / 'backbone.pth', statistics=statistics)['state_dict']
    torch.testing.assert_close(found, {name: known[f'backbone.{name}'] for name in found})


def test_frozen_features_are_of_the_same_four_bands(labels, pretrained):
    _, checkpoint = pretrained
    cfg = Config.fromfile(ROOT / CONFIG)  # which says nothing of bands
    cfg.merge_from_dict(options(NARROW[:2]))
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        inputs = frozen_inputs(cfg, checkpoint, [])
    crops, _ = object_crops(labels, labels.parent / 'images', 32, pixels=inputs.pixels)
    assert crops.shape[3] == len(inputs.mean) == 4
    features = stage_features(load_backbone(inputs.backbone, checkpoint), crops, inputs.mean, inputs.std)
    assert features['res5'].shape == (len(crops), 64)


def detector(labels, work):
    """A config of Mask R-CNN that says nothing of bands."""
    cfg = Config.fromfile(ROOT / 'configs/mini/mask-rcnn_r18_fpn_embedded.py')
    cfg.work_dir = str(work)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[name]
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.update(
            data_root=f'{labels.parent}/',
            ann_file='labels.json',
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=('square',)),
        )
    for name in ('val_evaluator', 'test_evaluator'):
        cfg[name].ann_file = str(labels)
    cfg.model.backbone.update(stem_channels=8, base_channels=8)
    cfg.model.neck.in_channels = [8, 16, 32, 64]
    for head in ('bbox_head', 'mask_head'):
        cfg.model.roi_head[head].num_classes = 1
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    return cfg


def test_a_fine_tuning_sees_what_the_pre_training_saw(labels, pretrained, tmp_path):
    pytest.importorskip('mmdet')
    before, checkpoint = pretrained
    export_backbone(checkpoint, tmp_path / 'backbone.pth')
    cfg = detector(labels, tmp_path / 'work')
    apply_command_line(cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        settle_pixels(cfg, tmp_path / 'backbone.pth')
        use_backbone(cfg, str(tmp_path / 'backbone.pth'))
        runner = Runner.from_cfg(cfg)
        runner.train()
    reader = cfg.train_dataloader.dataset.pipeline[0]
    assert reader.type == 'detco_mm.LoadImage'
    assert reader.value_range == before.train_dataloader.dataset.pipeline[0].pixels.value_range
    image = runner.train_dataloader.dataset[0]['inputs']
    assert image.shape[0] == 4 and image.dtype == torch.uint8 and int(image.max()) == 255
    mean = runner.model.data_preprocessor.mean.flatten().tolist()
    assert mean == pytest.approx(before.model.data_preprocessor.mean, abs=1e-3)
    assert 'val/coco/bbox_mAP' in runner.message_hub.log_scalars


def test_without_a_pre_training_the_detector_measures_by_itself(labels, tmp_path):
    pytest.importorskip('mmdet')
    cfg = detector(labels, tmp_path)
    cfg.data = dict(channels=4)
    with DefaultScope.overwrite_default_scope('mmdet'):
        settle_pixels(cfg)
    assert cfg.model.backbone.in_channels == 4
    assert len(cfg.model.data_preprocessor.mean) == 4
    assert cfg.test_dataloader.dataset.pipeline[0].channels == 4


def test_a_detector_of_8_bit_images_stays_as_it_is(tmp_path):
    pytest.importorskip('mmdet')
    from tests.integration.small_run import photographs

    labels = tmp_path / 'labels.json'
    photographs(tmp_path / 'images', 4)
    cfg = detector(labels, tmp_path)
    before = cfg.pretty_text
    with DefaultScope.overwrite_default_scope('mmdet'):
        settle_pixels(cfg)
    assert cfg.pretty_text == before
