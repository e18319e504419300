import re
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmengine.runner import Runner

from detco_mm.datasets import CLASS_NAMES, make_embedded

CONFIGS = Path(__file__).parents[2] / 'configs'
MINI = CONFIGS / 'mini/mask-rcnn_r18_fpn_embedded.py'


def build(cfg):
    from mmdet.registry import MODELS

    init_default_scope('mmdet')
    return MODELS.build(cfg.model)


def norms(module, type_):
    return [m for m in module.modules() if isinstance(m, type_)]


SIDES = (640, 672, 704, 736, 768, 800)
VOC_SIDES = (480, 512, 544, 576, 608, *SIDES)
CITY_SIDES = tuple(range(800, 1025, 32))
SCHEDULES = {'12k': (12000, [9000, 11000]), '1x': (90000, [60000, 80000]), '2x': (180000, [120000, 160000])}
# The authors' detectron2 configs, field by field: iterations, steps, warm-up, rate, batch, sides in training, longest
# side in training, size in tests.
AUTHORS = {
    **{
        f'{family}_{name}_coco': (*schedule, 1000, rate, 16, SIDES, longest, (1333, 800))
        for name, schedule in SCHEDULES.items()
        for family, rate, longest in (
            ('mask-rcnn_r50_fpn', 0.02, 1333),
            ('mask-rcnn_r50-c4', 0.02, 1200),
            ('retinanet_r50_fpn', 0.01, 1333),
        )
    },
    'faster-rcnn_r50-c4_24k_voc0712': (24000, [18000, 22000], 100, 0.02, 16, VOC_SIDES, 1333, (1333, 800)),
    'mask-rcnn_r50_fpn_24k_cityscapes': (
        24000,
        [18000],
        1000,
        0.01,
        8,
        tuple(range(800, 1025, 32)),
        2048,
        (2048, 1024),
    ),
}


def inner(dataset):
    """The data set below repetition and concatenation."""
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset.dataset if 'dataset' in dataset else dataset.datasets[-1]
    return dataset


@pytest.mark.parametrize('name', AUTHORS)
def test_a_config_states_the_recipe_of_the_authors(name):
    iters, steps, warm_up, rate, batch, sides, longest, test_size = AUTHORS[name]
    cfg = Config.fromfile(CONFIGS / f'mmdet/{name}.py')
    assert (cfg.train_cfg.type, cfg.train_cfg.max_iters) == ('IterBasedTrainLoop', iters)
    first, second = cfg.param_scheduler
    assert (first.type, first.start_factor, first.begin, first.end) == ('LinearLR', 0.001, 0, warm_up)
    assert (second.type, second.milestones, second.end, second.gamma) == ('MultiStepLR', steps, iters, 0.1)
    assert not first.by_epoch and not second.by_epoch
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=rate, momentum=0.9, weight_decay=1e-4)
    assert cfg.auto_scale_lr.base_batch_size == batch == 8 * cfg.train_dataloader.batch_size
    (resize,) = (t for t in inner(cfg.train_dataloader.dataset).pipeline if 'Resize' in t.type)
    assert (resize.type, resize.keep_ratio) == ('RandomChoiceResize', True)
    assert [tuple(scale) for scale in resize.scales] == [(longest, side) for side in sides]
    (flip,) = (t for t in inner(cfg.train_dataloader.dataset).pipeline if 'Flip' in t.type)
    assert flip.prob == 0.5
    (resize,) = (t for t in cfg.test_dataloader.dataset.pipeline if 'Resize' in t.type)
    assert (resize.scale, resize.keep_ratio) == (test_size, True)
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.bgr_to_rgb and preprocessor.mean == [123.675, 116.28, 103.53]
    assert preprocessor.std == [58.395, 57.12, 57.375]
    # Precise BN of 200 batches before each evaluation and each checkpoint.
    (precise,) = cfg.custom_hooks
    assert precise.type == 'detco_mm.PreciseBN' and 'num_iters' not in precise
    for interval in (cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval, iters):
        assert interval % precise.interval == 0
    assert cfg.get('load_from') is None and cfg.model.backbone.init_cfg is None


@pytest.mark.parametrize('percent', [1, 2, 5, 10])
@pytest.mark.parametrize('family', ['mask-rcnn_r50_fpn', 'retinanet_r50_fpn'])
def test_a_semi_supervised_config_differs_by_its_labels_alone(family, percent):
    share, whole = (
        Config.fromfile(CONFIGS / f'mmdet/{family}_12k_{data}.py')._cfg_dict.to_dict()
        for data in (f'coco-{percent}pct', 'coco')
    )
    ann_file = share['train_dataloader']['dataset'].pop('ann_file')
    assert ann_file == f'annotations/semi/instances_train2017_{percent}pct.json'
    assert whole['train_dataloader']['dataset'].pop('ann_file') == 'annotations/instances_train2017.json'
    assert share == whole


def without_lengths(cfg):
    """A config's settings but for how long it trains and how often it is looked at."""
    content = cfg._cfg_dict.to_dict()
    precise, (first, second) = content['custom_hooks'], content['param_scheduler']
    for node in (content['train_cfg'], content):
        del node['max_iters']
    del content['train_cfg']['val_interval'], content['default_hooks']['checkpoint']['interval']
    del precise[0]['interval'], first['end'], second['end'], second['milestones']
    return content


@pytest.mark.parametrize('schedule', ['1x', '2x'])
@pytest.mark.parametrize('family', ['mask-rcnn_r50_fpn', 'mask-rcnn_r50-c4', 'retinanet_r50_fpn'])
def test_a_longer_schedule_differs_by_its_lengths_alone(family, schedule):
    long, short = (Config.fromfile(CONFIGS / f'mmdet/{family}_{name}_coco.py') for name in (schedule, '12k'))
    assert without_lengths(long) == without_lengths(short)


def test_sparse_r_cnn_keeps_mmdetections_recipe_but_for_the_norms():
    cfg = Config.fromfile(CONFIGS / 'mmdet/sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco.py')
    assert cfg.train_cfg.max_epochs == 36 and cfg.param_scheduler[1].milestones == [27, 33]
    assert cfg.model.rpn_head.num_proposals == 300
    assert (cfg.optim_wrapper.optimizer.type, cfg.optim_wrapper.optimizer.lr) == ('AdamW', 0.000025)
    assert cfg.model.backbone.norm_cfg.type == cfg.model.neck.norm_cfg.type == 'SyncBN'
    assert cfg.model.backbone.frozen_stages == -1 and not cfg.model.backbone.norm_eval


@pytest.mark.parametrize('name', [name for name in AUTHORS if 'coco' not in name or '_1x_' in name])
def test_a_detector_synchronises_and_trains_every_bn_and_freezes_nothing(name):
    cfg = Config.fromfile(CONFIGS / f'mmdet/{name}.py')
    model = build(cfg)
    parts = [model.backbone] + ([model.neck] if model.with_neck else [model.roi_head.shared_head])
    for part in parts:
        assert norms(part, torch.nn.SyncBatchNorm)
    assert not norms(model, torch.nn.BatchNorm2d)
    model.train()
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in norms(model, torch.nn.SyncBatchNorm))
    assert model.backbone.style == 'pytorch' and model.backbone.frozen_stages == -1
    if '-c4_' in name:
        head = model.roi_head.shared_head
        assert isinstance(head.norm, torch.nn.SyncBatchNorm) and head.norm.num_features == 2048
        # torchvision's: the stride in the 3x3 convolution
        assert head.res_layer.layer4[0].conv1.stride == (1, 1) and head.res_layer.layer4[0].conv2.stride == (2, 2)
    classes = {'voc': 20, 'cityscapes': 8}.get(name.rsplit('_', 1)[1].replace('0712', ''), 80)
    heads = [model.bbox_head] if 'retinanet' in name else [model.roi_head.bbox_head]
    assert all(head.num_classes == classes for head in heads)


@pytest.mark.parametrize(
    ('name', 'pretraining'),
    [
        ('rtmdet_s_8xb32-300e_coco', 'detco_cspnext-s'),
        ('yolox_s_8xb8-300e_coco', 'detco_cspdarknet-s'),
        ('mask-rcnn_swin-t-p4-w7_fpn_1x_coco', 'detco_swin-t'),
        ('mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco', 'detco_convnext-t'),
        ('retinanet_timm-efficientnet-lite0_fpn_1x_coco', 'detco_efficientnet-lite0'),
    ],
)
def test_a_detector_sees_what_its_backbone_saw_in_pre_training(name, pretraining):
    own, theirs = (
        Config.fromfile(path) for path in (CONFIGS / f'_base_/models/{pretraining}.py', CONFIGS / f'mmdet/{name}.py')
    )
    backbones = []
    for scope, cfg in (('mmselfsup', own), ('mmdet', theirs)):
        with DefaultScope.overwrite_default_scope(scope):
            backbones.append(MODELS.build(cfg.model.backbone))
    pretrained, detectors = backbones
    detectors.load_state_dict(pretrained.state_dict(), strict=True)
    for backbone in backbones:
        backbone.eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected, found = list(pretrained(image)), list(detectors(image))
    assert len(expected) == 4 and len(found) in (3, 4)
    torch.testing.assert_close(found, expected[-len(found) :], rtol=0, atol=0)
    channels = theirs.model.neck.in_channels
    assert [stage_map.shape[1] for stage_map in found] == list(channels)
    seen, taught = (cfg.model.data_preprocessor for cfg in (theirs, own))
    assert seen.bgr_to_rgb and (tuple(seen.mean), tuple(seen.std)) == (tuple(taught.mean), tuple(taught.std))
    assert theirs.model.backbone.get('init_cfg') is None and theirs.get('load_from') is None


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


def test_the_table_of_rows_names_every_config_once():
    section = (CONFIGS.parent / 'docs/transfer.md').read_text().split('## The rows')[1].split('\n## ')[0]
    rows = re.findall(r'^\| [^|]+ \| `([\w.-]+)` \|', section, re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in (CONFIGS / 'mmdet').glob('*.py'))
