"""Every downstream config, a few iterations forward and backward with evaluation, on small sets in the real layouts."""

import json
import re
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmdet')

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope, init_default_scope
from mmengine.runner import Runner

from detco_mm.datasets.split import split_coco
from detco_mm.engine.settings import apply_command_line
from detco_mm.weights import use_backbone
from tests.integration import layouts
from tests.integration.commands import write_backbone

CONFIGS = Path(__file__).parents[2] / 'configs/mmdet'
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py'))
# tests/configs proves that these are others but for the length of the schedule or the file of labels.
# C4 with a mask head: the one without runs, and masks of FPN.
SIBLING = re.compile(r'_[12]x_|-\d+pct$|^mask-rcnn_r50-c4_12k')
#: Detectors on other backbones than ResNet-50, and the model of the pre-training that they start from.
PRETRAINED = {
    'mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco': 'detco_convnext-t',
    'mask-rcnn_swin-t-p4-w7_fpn_1x_coco': 'detco_swin-t',
    'retinanet_timm-efficientnet-lite0_fpn_1x_coco': 'detco_efficientnet-lite0',
    'rtmdet_s_8xb32-300e_coco': 'detco_cspnext-s',
    'yolox_s_8xb8-300e_coco': 'detco_cspdarknet-s',
}


def marks(name):
    return pytest.mark.exhaustive if SIBLING.search(name) and name not in PRETRAINED else ()


RUNS = [pytest.param(name, marks=marks(name)) for name in NAMES]


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Data roots by the last part of a config's name."""
    folder = tmp_path_factory.mktemp('data')
    source = layouts.embedded(folder / 'embedded')
    made = {name: getattr(layouts, name)(source, folder / name) for name in ('coco', 'cityscapes', 'voc')}
    split_coco(made['coco'] / 'annotations/instances_train2017.json', made['coco'] / 'annotations/semi', [50])
    return {'coco': made['coco'], 'cityscapes': made['cityscapes'], 'voc0712': made['voc']}


@pytest.fixture(scope='module')
def backbone(tmp_path_factory):
    """A ResNet-50 as export writes it."""
    return write_backbone(tmp_path_factory.mktemp('weights') / 'backbone.pth', 50)


def pretrained(name, path):
    """A checkpoint of a pre-training of another backbone, as it was drawn."""
    config = Config.fromfile(CONFIGS.parent / f'_base_/models/{PRETRAINED[name]}.py').model.backbone
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        weights = MODELS.build(config).state_dict()
    torch.save(dict(state_dict={f'backbone.{key}': value for key, value in weights.items()}, meta={}), path)
    return path, weights


def moved(node, root):
    """Lead every path below data/ to another root."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            moved(value, root)
        elif isinstance(value, str) and value.startswith('data/'):
            # data/coco/annotations/... and data/VOCdevkit/
            node[key] = str(root) + '/' + '/'.join(value.split('/')[2:])


def shrunk(node):
    """Make every resize one to small images, however deep in lists of transforms."""
    if isinstance(node, dict):
        if 'scales' in node:
            node['scales'] = [(160, 96), (160, 128)]
        elif 'scale' in node:
            node['scale'] = (160, 128)
        elif 'img_scale' in node:  # of mosaics
            node['img_scale'] = (160, 128)
        elif node.get('type') == 'RandomAffine':
            node['border'] = (-80, -64)
        elif node.get('type') == 'RandomCrop':
            node['crop_size'] = (64, 96)
        elif node.get('type') == 'Pad' and 'size' in node:
            node['size'] = (160, 160)
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list):
            shrunk(value)


def small(cfg, root):
    """Two iterations on small images with few regions."""
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        moved(loader, root)
        loader.update(num_workers=0, persistent_workers=False, batch_size=min(2, loader.batch_size))
        shrunk(loader.dataset)
    if 'pct' in cfg.filename:  # a hundredth of six images is none
        cfg.train_dataloader.dataset.ann_file = 'annotations/semi/instances_train2017_50pct.json'
    evaluators = [cfg.val_evaluator] if isinstance(cfg.val_evaluator, dict) else list(cfg.val_evaluator)
    evaluators = [e for e in evaluators if e.type != 'CityScapesMetric']  # it needs the official label images
    moved(evaluators, root)
    cfg.val_evaluator = cfg.test_evaluator = evaluators
    if 'max_epochs' in cfg.train_cfg:
        dataset = cfg.train_dataloader.dataset
        dataset.get('dataset', dataset).indices = 4  # two batches; YOLOX's lies in one that mixes its images
        cfg.train_cfg.update(max_epochs=1, val_interval=1)
    else:
        cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.interval = 2
    cfg.default_hooks.logger.interval = 1
    for hook in cfg.get('custom_hooks', []):
        if hook.type == 'detco_mm.PreciseBN':
            hook.update(interval=2, num_iters=1)
    if cfg.model.data_preprocessor.get('batch_augments'):
        cfg.model.data_preprocessor.batch_augments = None  # YOLOX's, to 480 pixels at least
    if cfg.optim_wrapper.type == 'AmpOptimWrapper' and not torch.cuda.is_available():
        cfg.optim_wrapper.type = 'detco_mm.BFloat16OptimWrapper'
    if 'sparse' in cfg.filename:
        cfg.model.rpn_head.num_proposals = cfg.model.test_cfg.rcnn.max_per_img = 20
    elif 'roi_head' in cfg.model:
        cfg.model.train_cfg.rcnn.sampler.num = 16
        cfg.model.train_cfg.rpn_proposal.max_per_img = 30
        cfg.model.test_cfg.rpn.max_per_img = 20
        cfg.model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=20)  # at the start no score passes the config's
    else:
        cfg.model.test_cfg.score_thr = 0.0


def weights_of_a_backbone(model, name):
    """What an exported backbone is loaded into; detectors on C4 have its last stage in their head."""
    own = model.backbone.state_dict()
    return own | (model.roi_head.shared_head.res_layer.state_dict() if '-c4_' in name else {})


@pytest.mark.parametrize('name', [name for name in NAMES if name not in PRETRAINED])
def test_a_config_has_a_place_for_every_weight_of_a_backbone(name, backbone):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope('mmdet')
    with torch.device('meta'):
        own = weights_of_a_backbone(MODELS.build(cfg.model), name)
    given = torch.load(backbone, weights_only=True)['state_dict']
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in given.items()}


@pytest.mark.parametrize('name', RUNS)
def test_a_config_trains_from_a_backbone_takes_statistics_and_is_evaluated(name, roots, backbone, tmp_path):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    small(cfg, roots[name.rsplit('_', 1)[1].split('-')[0]])
    apply_command_line(cfg)
    init_default_scope('mmdet')
    cfg.work_dir = str(tmp_path)
    given = torch.load(backbone, weights_only=True)['state_dict']
    if name in PRETRAINED:
        backbone, given = pretrained(name, tmp_path / 'pretrained.pth')
    use_backbone(cfg, str(backbone))
    # MMEngine keeps visualizers by their name: another run's would write into its own folder.
    cfg.visualizer.name = name
    cfg.update(randomness=dict(seed=0), experiment_name=name)
    runner = Runner.from_cfg(cfg)
    runner._init_model_weights()
    own = weights_of_a_backbone(runner.model, name)
    assert set(own) == set(given) and all(torch.equal(own[key], given[key]) for key in own)

    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    rows = [json.loads(line) for path in tmp_path.glob('*/vis_data/scalars.json') for line in path.open()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert len(losses) == 2 and all(0 < loss < 100 for loss in losses)
    assert any(key.endswith(('bbox_mAP', 'mAP')) for row in rows for key in row)
    after = runner.model.state_dict()
    changed = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert {key for key in before if key.startswith('backbone.') and 'running_' in key} <= changed
    first, _ = next(iter(runner.model.backbone.named_parameters()))
    assert f'backbone.{first}' in changed  # nothing is frozen
