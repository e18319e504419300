"""Backbones that others released reach MMDetection."""

import pickle

import pytest
import torch
from mmdet.models.backbones import ResNet as DetectionResNet
from torchvision.models import resnet50

from detco_mm.weights import export_backbone, read_backbone


@pytest.fixture(scope='module')
def model():
    """torchvision's ResNet-50, with BN statistics of a trained one."""
    torch.manual_seed(0)
    model = resnet50()
    model(torch.randn(4, 3, 64, 64))
    return model


def detectron2_name(name):
    """As the authors' conversion script does it."""
    if 'layer' not in name:
        name = 'stem.' + name
    for layer in (1, 2, 3, 4):
        name = name.replace(f'layer{layer}', f'res{layer + 1}')
    for conv in (1, 2, 3):
        name = name.replace(f'bn{conv}', f'conv{conv}.norm')
    return name.replace('downsample.0', 'shortcut').replace('downsample.1', 'shortcut.norm')


def openselfsup(weights, path):
    torch.save({'state_dict': weights, 'author': 'OpenSelfSup'}, path)


def legacy(weights, path):
    torch.save({'state_dict': weights}, path, _use_new_zipfile_serialization=False)


def bare(weights, path):
    torch.save(weights, path)


def without_counters(weights, path):
    torch.save({k: v for k, v in weights.items() if 'num_batches' not in k}, path)


def moco(weights, path):
    named = {f'module.encoder_q.{k}': v for k, v in weights.items()}
    named |= {f'module.encoder_k.{k}': torch.zeros_like(v) for k, v in weights.items()}
    torch.save({'epoch': 200, 'arch': 'resnet50', 'state_dict': named | {'module.queue': torch.zeros(128, 8)}}, path)


def detectron2(weights, path):
    named = {detectron2_name(k): v.numpy() for k, v in weights.items() if not k.startswith('fc')}
    path.write_bytes(pickle.dumps({'model': named, '__author__': 'OpenSelfSup', 'matching_heuristics': True}))


@pytest.mark.parametrize('write', [openselfsup, legacy, bare, without_counters, moco, detectron2])
def test_every_format_gives_mmdetection_the_features_of_the_original(model, write, tmp_path):
    write(model.state_dict(), tmp_path / 'detco_200ep.pkl')
    export_backbone(tmp_path / 'detco_200ep.pkl', tmp_path / 'backbone.pth')
    assert set(read_backbone(tmp_path / 'backbone.pth')) == {k for k in model.state_dict() if not k.startswith('fc')}
    detector = DetectionResNet(50, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth')))
    detector.init_weights()
    detector.eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = detector(image)
        model.eval()
        hidden = model.maxpool(model.relu(model.bn1(model.conv1(image))))
        for layer, found in zip((model.layer1, model.layer2, model.layer3, model.layer4), maps, strict=True):
            hidden = layer(hidden)
            assert torch.equal(found, hidden)


@pytest.mark.parametrize('encoder', ['query', 'key'])
def test_a_file_without_a_resnet_is_refused(encoder, tmp_path):
    torch.save(
        {'state_dict': {'patch_embed.weight': torch.zeros(1), 'layer1.0.weight': torch.zeros(1)}}, tmp_path / 'a'
    )
    with pytest.raises(ValueError, match='It starts with patch_embed.weight'):
        export_backbone(tmp_path / 'a', tmp_path / 'b', encoder)
