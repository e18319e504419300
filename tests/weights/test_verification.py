"""An export is tried in the class that it is for, and refused where there is none."""

import importlib.util
import pickle

import pytest
import torch
import torchvision

from detco_mm.weights import export_backbone, load_checkpoint
from detco_mm.weights.resnets import NAMES, ResNetShape, shape_of
from detco_mm.weights.sources import resnet_config
from tests.models.zoo import LARGE, NARROW, RESNET, SMALL, bare, save
from tests.weights.test_recognition import BARE, FORMATS

V1D = dict(type='mmdet.ResNetV1d', depth=18, norm_cfg=dict(type='BN'), norm_eval=False)


def export(tmp_path, config, weights=None, **arguments):
    save(tmp_path / 'run.pth', config, weights or bare(config).state_dict())
    return export_backbone(tmp_path / 'run.pth', tmp_path / 'out.pth', **arguments)


def smaller(node):
    """Weights of convolutions a hundredth as large, so that random ones overflow nowhere."""
    if isinstance(node, dict):
        return {name: smaller(value) for name, value in node.items()}
    return node * 0.01 if getattr(node, 'ndim', 0) == 4 else node


@pytest.mark.parametrize('kind', ['lightly, without a stem', 'compiled as a whole', 'detectron2'])
def test_any_naming_ends_in_the_names_of_the_target(kind, tmp_path):
    with open(tmp_path / 'given', 'wb') as file:
        (pickle.dump if kind == 'detectron2' else torch.save)(smaller(FORMATS[kind]), file)
    export_backbone(tmp_path / 'given', tmp_path / 'out.pth')
    found = load_checkpoint(tmp_path / 'out.pth')
    assert found['meta']['verified'] == dict(network='mmdet.ResNet', deviation=0.0)
    assert found['state_dict'].keys() == BARE.keys()
    for name, value in smaller(BARE).items():
        if 'num_batches' not in name:
            assert torch.equal(found['state_dict'][name], value)


def test_what_a_library_has_not_is_refused_with_what_has_it(tmp_path):
    with pytest.raises(ValueError) as caught:
        export(tmp_path, V1D, to='torchvision')
    said = str(caught.value)
    assert 'ResNetV1d 18 cannot be written for torchvision: torchvision has no resnet18 with a deep stem' in said
    assert 'it can for mmdet (mmdet.ResNetV1d), mmcls (mmcls.ResNetV1d), timm (timm resnet18d)' in said
    assert not (tmp_path / 'out.pth').exists()
    with pytest.raises(ValueError, match=r'CSPNeXt cannot be written for timm: .* it can for mmdet \(mmdet.CSPNeXt\)'):
        export(tmp_path, SMALL['CSPNeXt-s'], to='timm')


def test_a_deep_stem_goes_to_timm_and_to_the_other_naming_of_openmmlab(tmp_path):
    for to, first in (('timm', 'conv1.0.weight'), ('mmcls', 'stem.0.conv.weight')):
        exported = export(tmp_path, V1D, to=to)
        assert first in exported['state_dict'] and exported['meta']['verified']['deviation'] < 1e-5
    # and back, from MMClassification's names
    again = export_backbone(tmp_path / 'out.pth', tmp_path / 'again.pth', to='mmdet')
    assert 'stem.0.weight' in again['state_dict']


def test_weights_that_fit_and_compute_something_else_are_refused(tmp_path):
    caffe = dict(RESNET, depth=50, style='caffe')  # the stride lies in another convolution
    with pytest.raises(ValueError, match=r'torchvision.models.resnet50 takes the weights and makes other maps of them'):
        export(tmp_path, caffe, to='torchvision')


def test_a_width_that_mmdetection_cannot_have_goes_to_mmclassification(tmp_path):
    wide = dict(RESNET, depth=50, expansion=2, **NARROW)
    exported = export(tmp_path, wide)
    assert exported['meta']['to'] == 'mmcls' and exported['meta']['verified']['deviation'] == 0
    with pytest.raises(ValueError, match='mmdet has no ResNet whose blocks widen 2 times'):
        export(tmp_path, wide, to='mmdet')


def test_weights_that_are_not_finite_are_refused(tmp_path):
    backbone = dict(RESNET, depth=18, **NARROW)
    weights = bare(backbone).state_dict()
    weights['conv1.weight'][:] = torch.nan
    with pytest.raises(ValueError, match='not finite: the training has diverged'):
        export(tmp_path, backbone, weights)


def test_without_the_library_names_and_shapes_are_compared_with_a_table(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name, *rest: None if name == 'mmdet' else find_spec(name))
    exported = export(tmp_path, dict(RESNET, depth=18, **NARROW))
    assert exported['meta']['to'] == 'mmdet'
    assert exported['meta']['verified'] == dict(network="mmdet's ResNet", deviation=None)


def test_a_network_of_which_nothing_is_known_needs_its_config(tmp_path):
    weights = bare(SMALL['CSPNeXt-s']).state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match='no ResNet is in it, and no config .*--config CONFIG'):
        export_backbone(tmp_path / 'bare.pth', tmp_path / 'out.pth')
    given = dict(SMALL['CSPNeXt-s'], init_cfg=dict(type='Pretrained', checkpoint='gone.pth'))
    exported = export_backbone(tmp_path / 'bare.pth', tmp_path / 'out.pth', backbone=given)
    assert exported['meta']['verified']['network'] == 'mmdet.CSPNeXt'
    # an export knows what it is
    again = export_backbone(tmp_path / 'out.pth', tmp_path / 'again.safetensors')
    assert again['meta']['sha256'] == exported['meta']['sha256']


@pytest.mark.parametrize(
    'asked',
    [
        dict(type='subprocess.check_output', args=['true']),
        dict(type='somebody.Net'),
        dict(RESNET, depth=18, norm_cfg=dict(type='os.system')),
        dict(type='mmcls.TIMMBackbone', model_name='hf-hub:somebody/net', features_only=True),
        dict(type='mmcls.TIMMBackbone', model_name='local-dir:/somewhere', features_only=True),
    ],
)
def test_nothing_that_a_file_asks_for_is_run_or_fetched(asked, tmp_path):
    with pytest.raises(ValueError, match='of what a file asks for only classes of OpenMMLab are built'):
        export(tmp_path, asked, BARE)


@pytest.mark.parametrize('name', [name for name in LARGE if 'Res' in name and 'V1d' not in name])
def test_tables_are_those_of_torchvision_and_configs_those_that_build_them(name):
    own = LARGE[name]
    with torch.device('meta'):
        width = own.get('groups', 1) * own.get('width_per_group', 0) or own.get('base_channels', 64)
        official = getattr(torchvision.models, NAMES[own['depth'], own.get('groups', 1), width])().state_dict()
    official = {key: value for key, value in official.items() if not key.startswith('fc.')}
    shape = shape_of(official)
    assert shape is not None
    found = {key: tuple(value.shape) for key, value in official.items() if not key.endswith('num_batches_tracked')}
    assert found == shape.table()
    assert list(shape.table(detectron2=True).values()) == list(found.values())
    config = resnet_config(shape)
    assert config | own | dict(type=config['type']) == config and config['type'] == f'mmselfsup.{own["type"]}'


def test_tables_tell_a_resnet_from_what_looks_like_one():
    weights = {name: torch.empty(shape, device='meta') for name, shape in ResNetShape().table().items()}
    assert shape_of(weights) == ResNetShape()
    assert shape_of({**weights, 'layer1.0.attention.weight': torch.empty(3)}) is None
    assert shape_of({name: value for name, value in weights.items() if 'layer4' not in name}) is None
    assert shape_of(bare(SMALL['Res2Net-50']).state_dict()) is None
