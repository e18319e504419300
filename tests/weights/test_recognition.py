"""Any file that holds a backbone is recognised, and one that does not fit is refused with the list."""

import copy
import re

import pytest
import timm
import torch
from mmengine.registry import MODELS, init_default_scope
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18, resnet34

from detco_mm.weights import find_start, recognise
from detco_mm.weights.input_channels import adapt_input_channels

torch.manual_seed(0)
R18 = resnet18()
WITH_HEAD = {name: torch.rand_like(value.float()) for name, value in R18.state_dict().items()}
BARE = {name: value for name, value in WITH_HEAD.items() if not name.startswith('fc.')}
OTHER = {name: value + 1 for name, value in BARE.items()}
CHILDREN = {'conv1': '0', 'bn1': '1', 'layer1': '4', 'layer2': '5', 'layer3': '6', 'layer4': '7'}


def below(prefix, weights=None):
    return {prefix + name: value for name, value in (weights or BARE).items()}


def numbered(prefix):
    return {f'{prefix}{CHILDREN[name.split(".")[0]]}.{name.split(".", 1)[1]}': value for name, value in BARE.items()}


def numbered_without_gaps(prefix):
    order = {child: at + 1 for at, child in enumerate(CHILDREN)}
    return {f'{prefix}{order[name.split(".")[0]]}.{name.split(".", 1)[1]}': value for name, value in BARE.items()}


def detectron2(weights):
    found = {}
    for name, value in weights.items():
        name = name if name.startswith('layer') else f'stem.{name}'
        name = re.sub(r'^layer([1-4])', lambda m: f'res{int(m[1]) + 1}', name)
        name = re.sub(r'bn([1-3])', r'conv\1.norm', name).replace('downsample.0', 'shortcut')
        found[name.replace('downsample.1', 'shortcut.norm')] = value.numpy()
    return found


FORMATS = {
    'torchvision': WITH_HEAD,
    'ours': {'state_dict': {**below('backbone.'), **below('key_encoder.backbone.', OTHER)}, 'meta': {'epoch': 3}},
    'MoCo': {'state_dict': {**below('module.encoder_q.', WITH_HEAD), **below('module.encoder_k.', OTHER)}},
    'MoCo, the averaged one first': {
        'state_dict': {**below('module.encoder_k.', OTHER), **below('module.encoder_q.', WITH_HEAD)}
    },
    'MoCo v3': {'state_dict': {**below('module.momentum_encoder.', OTHER), **below('module.base_encoder.')}},
    'DenseCL': {'state_dict': {**below('backbone.'), 'neck.mlp.0.weight': torch.rand(3)}},
    'SwAV': below('module.'),
    'BYOL of lightly': {
        'state_dict': {**numbered('backbone.'), **{f'backbone_momentum.{k}': v for k, v in numbered('').items()}}
    },
    'DINO': {'student': below('module.backbone.', OTHER), 'teacher': below('backbone.'), 'epoch': 100},
    'DINO, the teacher alone': {'teacher': below('backbone.'), 'optimizer': {'state': {}}},
    'VICReg': {'model': below('module.backbone.')},
    'Barlow Twins': below('backbone.'),
    'Lightning': {'state_dict': below('model.backbone.'), 'hyper_parameters': {}},
    'compiled': {'state_dict': below('backbone._orig_mod.')},
    'compiled as a whole': {'model': below('_orig_mod.encoder.')},
    'timm with an EMA': {'state_dict': OTHER, 'state_dict_ema': BARE},
    "MMEngine's EMAHook, which swaps": {
        'state_dict': below('backbone.'),
        'ema_state_dict': below('module.backbone.', OTHER),
    },
    'a semi-supervised detector': {'state_dict': {**below('student.backbone.', OTHER), **below('teacher.backbone.')}},
    'lightly, without a stem': {'state_dict': numbered_without_gaps('backbone.')},
    'an EMA alone': {'model_ema': BARE},
    'a detector': {'state_dict': {**below('backbone.'), 'neck.lateral_convs.0.conv.weight': torch.rand(3, 3, 1, 1)}},
    'the reference': {
        'state_dict': {
            **below('module.encoder_q.'),
            **{
                re.sub('layer([1-4])', lambda m: f'layers.{int(m[1]) - 1}', f'module.encoder_q.{k}'): v
                for k, v in BARE.items()
            },
            **below('module.encoder_k.', OTHER),
        }
    },
    'detectron2': {'model': detectron2(BARE)},
    'without counters': {name: value for name, value in BARE.items() if 'num_batches' not in name},
}


@pytest.fixture(scope='module')
def backbone():
    init_default_scope('mmselfsup')
    return MODELS.build(dict(type='ResNet', depth=18, norm_cfg=dict(type='BN'), out_indices=(1, 2, 3, 4)))


@pytest.mark.parametrize('name', FORMATS)
def test_every_format_gives_the_trained_networks_weights(name, backbone):
    found = recognise(FORMATS[name], backbone)
    assert set(found.weights) == set(backbone.state_dict())
    for key, value in BARE.items():
        if 'num_batches' not in key:
            torch.testing.assert_close(found.weights[key], value)
    copy.deepcopy(backbone).load_state_dict(found.weights)


def test_what_was_taken_from_where_and_what_was_left_is_said(backbone):
    said = recognise(FORMATS['MoCo'], backbone).describe()
    assert said == (
        '120 tensors from state_dict, below "module.encoder_q."; left: fc.weight, fc.bias; such weights are also in '
        'state_dict, below "module.encoder_k."'
    )


@pytest.mark.parametrize('kind', ['pth', 'safetensors', 'legacy'])
def test_files_of_every_kind_are_read(kind, backbone, tmp_path):
    path = tmp_path / f'weights.{kind}'
    if kind == 'safetensors':
        save_file(below('backbone.'), path)
    else:
        torch.save(below('backbone.'), path, _use_new_zipfile_serialization=kind == 'pth')
    assert len(find_start(path, backbone).weights) == len(BARE)


TIMM = dict(type='mmcls.TIMMBackbone', features_only=True, pretrained=False, out_indices=(1, 2, 3, 4))


@pytest.mark.parametrize('model_name', ['tf_efficientnet_lite0', 'mobilenetv3_small_050', 'resnet18d'])
def test_timms_own_files_fit_timms_backbones(model_name):
    init_default_scope('mmselfsup')
    given = timm.create_model(model_name).state_dict()
    target = MODELS.build(dict(TIMM, model_name=model_name))
    weights = recognise(given, target).weights
    target.load_state_dict(weights)
    inner = {name.removeprefix('timm_model.'): value for name, value in weights.items()}
    assert all(torch.equal(value, given[name]) for name, value in inner.items() if name in given)


def efficientnet_pytorchs(source):
    """Name the tensors of timm's network as EfficientNet-PyTorch does, more or less."""
    kept = {name: value for name, value in source.items() if not name.endswith('num_batches_tracked')}
    kinds = [name.rsplit('.', 1)[-1] for name in kept]
    names = ['_conv_stem.weight', *(f'_blocks.{at}._x.{kind}' for at, kind in enumerate(kinds[1:]))]
    return dict(zip(names, kept.values(), strict=True))


def test_efficientnet_pytorchs_names_fit_by_the_order_of_their_tensors():
    init_default_scope('mmselfsup')
    source = timm.create_model('tf_efficientnet_lite0').state_dict()
    renamed = efficientnet_pytorchs(source)
    target = MODELS.build(dict(TIMM, model_name='tf_efficientnet_lite0'))
    found = recognise(renamed, target)
    assert 'in the order of its tensors' in found.place
    for name, value in found.weights.items():
        if not name.endswith('num_batches_tracked'):
            assert torch.equal(value, source[name.removeprefix('timm_model.')])
    shuffled = dict(sorted(renamed.items(), key=lambda entry: entry[1].numel()))
    with pytest.raises(ValueError, match='no weight of TIMMBackbone is in it'):
        recognise(shuffled, target)
    # the same names and shapes: strided convolutions that pad evenly
    with pytest.raises(ValueError, match="model_name='tf_efficientnet_lite0'"):
        recognise(renamed, MODELS.build(dict(TIMM, model_name='efficientnet_lite0')))


def test_timms_deep_stem_fits_openmmlabs():
    init_default_scope('mmselfsup')
    given = timm.create_model('resnet18d').state_dict()
    target = MODELS.build(dict(type='mmcls.ResNetV1d', depth=18, out_indices=(0, 1, 2, 3), norm_cfg=dict(type='BN')))
    target.load_state_dict(recognise(given, target).weights)
    model = timm.create_model('resnet18d', features_only=True, out_indices=(1, 2, 3, 4))
    model.load_state_dict({name: value for name, value in given.items() if not name.startswith('fc')})
    image = torch.randn(1, 3, 64, 64)
    target.eval()  # OpenMMLab's return nothing
    for ours, theirs in zip(target(image), model.eval()(image), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ('checkpoint', 'message'),
    [
        (
            {name: value for name, value in BARE.items() if not name.startswith('layer4')},
            '25 of 100 weights of ResNet are missing.*layer4.0.conv1.weight',
        ),
        ({'a': torch.rand(3)}, 'no weight of ResNet is in it: .*; the file has a$'),
        ({'meta': {}}, 'the file has no tensors'),
        (
            {**BARE, 'layer4.1.conv2.weight': BARE['layer4.1.conv2.weight'][..., :2]},
            '1 of 100 weights .*layer4.1.conv2.weight.* would be left random',
        ),
        ({**BARE, 'conv1.weight': BARE['conv1.weight'][:, :1]}, 'conv1.weight is for another number of channels'),
    ],
)
def test_what_does_not_fit_is_listed(checkpoint, message, backbone):
    with pytest.raises(ValueError, match=message):
        recognise(checkpoint, backbone)


@pytest.mark.parametrize('prefix', ['', 'module.encoder_q.'])
def test_a_deeper_network_is_refused_though_it_holds_every_name_of_a_shallower_one(prefix, backbone):
    with pytest.raises(ValueError, match=r'more layers than ResNet \(layer1.2.conv1.weight'):
        recognise({'state_dict': below(prefix, resnet34().state_dict())}, backbone)


def test_a_shallower_network_is_refused_with_what_it_lacks():
    init_default_scope('mmselfsup')
    deep = MODELS.build(dict(type='ResNet', depth=34, norm_cfg=dict(type='BN'), out_indices=(1, 2, 3, 4)))
    with pytest.raises(ValueError, match=r'weights of ResNet are missing .*layer1.2.conv1.weight'):
        recognise(WITH_HEAD, deep)


def test_a_backbone_of_fewer_stages_takes_its_part(backbone):
    init_default_scope('mmselfsup')
    c4 = MODELS.build(
        dict(type='mmdet.ResNet', depth=18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    )
    assert recognise(WITH_HEAD, c4).left[:1] == ['layer4.0.conv1.weight']


def test_rgb_weights_start_a_network_for_other_channels(tmp_path):
    init_default_scope('mmselfsup')
    torch.save(WITH_HEAD, tmp_path / 'r18.pth')
    target = MODELS.build(
        dict(type='ResNet', depth=18, in_channels=5, norm_cfg=dict(type='BN'), out_indices=(1, 2, 3, 4))
    )
    found = find_start(tmp_path / 'r18.pth', target)
    assert found.weights['conv1.weight'].shape == (64, 5, 7, 7) and target.conv1.weight.shape[1] == 5
    torch.testing.assert_close(found.weights['conv1.weight'], adapt_input_channels(BARE['conv1.weight'], 5))
    assert isinstance(target.conv1.weight, nn.Parameter)
