"""A detector starts from any checkpoint that holds a backbone, by naming it."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torchvision.models import resnet18, resnet50

from detco_mm.weights import export_backbone, use_backbone

CONFIG = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'


def prefixed(prefix, **others):
    return lambda weights: {'state_dict': {f'{prefix}{k}': v for k, v in weights.items()} | others}


FORMATS = {
    'torchvision': lambda weights: weights | {'fc.weight': torch.zeros(2, 512), 'fc.bias': torch.zeros(2)},
    "MMSelfSup's MoCo": prefixed(
        'backbone.', **{'neck.mlp.0.weight': torch.zeros(1), 'queue': torch.zeros(2, 2), 'queue_ptr': torch.zeros(1)}
    ),
    "MMSelfSup's DenseCL": prefixed(
        'backbone.', **{'encoder_k.module.0.conv1.weight': torch.zeros(1), 'queue2': torch.zeros(2, 2)}
    ),
    'DetCo': prefixed(
        'backbone.', **{'key_encoder.backbone.conv1.weight': torch.zeros(1), 'queue.keys': torch.zeros(8, 2, 2)}
    ),
    'the reference': prefixed('module.encoder_q.', **{'module.encoder_k.conv1.weight': torch.zeros(1)}),
    'released DetCo': prefixed(''),
}


@pytest.fixture
def cfg(tmp_path):
    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir = str(tmp_path / 'run')
    return cfg


@pytest.mark.parametrize('format_', [*FORMATS, 'exported'])
def test_every_format_ends_in_the_detectors_backbone(format_, cfg, tmp_path):
    torch.manual_seed(0)
    weights = {k: v for k, v in resnet18().state_dict().items() if not k.startswith('fc')}
    torch.save(FORMATS['DetCo' if format_ == 'exported' else format_](weights), tmp_path / 'checkpoint.pth')
    if format_ == 'exported':
        export_backbone(tmp_path / 'checkpoint.pth', tmp_path / 'checkpoint.pth')
    use_backbone(cfg, str(tmp_path / 'checkpoint.pth'))
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    found = backbone.state_dict()
    assert set(found) == set(weights) and all(torch.equal(found[k], weights[k]) for k in weights)


def test_weights_of_another_depth_stop_the_run_with_a_list(cfg, tmp_path):
    torch.save(resnet50().state_dict(), tmp_path / 'r50.pth')
    with pytest.raises(ValueError, match=r'r50.pth": 23 of 100 weights .*layer1.0.conv1.weight.* left random'):
        use_backbone(cfg, str(tmp_path / 'r50.pth'))


def test_a_file_without_a_backbone_stops_the_run(cfg, tmp_path):
    torch.save({'state_dict': {'decoder.weight': torch.zeros(1)}}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='the file has decoder.weight'):
        use_backbone(cfg, str(tmp_path / 'other.pth'))
