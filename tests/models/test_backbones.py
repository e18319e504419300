"""DetCo takes any backbone that returns four maps, and trains all of it that a loss reaches."""

import copy

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from detco_mm.models.backbone import four_maps
from detco_mm.registry import STAGES
from tests.models.zoo import LARGE, NARROW, RESNET, SMALL, TIMM, bare, build, step, views


@pytest.mark.parametrize('name', LARGE)
def test_channels_are_found_at_full_size(name):
    maps = four_maps(bare(LARGE[name]).to('meta'))
    assert [found.shape[2] for found in maps] == [16, 8, 4, 2]
    if 'ResNe' in name and 'V1d' not in name:
        assert [found.shape[1] for found in maps] == [256, 512, 1024, 2048]


@pytest.mark.parametrize(
    'backbone',
    [
        dict(RESNET, depth=101, **NARROW),
        dict(RESNET, depth=152, **NARROW),
        dict(RESNET, type='ResNeXt', depth=101, groups=2, width_per_group=4, **NARROW),
        dict(RESNET, depth=101, stem_channels=8, base_channels=16, expansion=2),
    ],
    ids=['ResNet-101', 'ResNet-152', 'ResNeXt-101', 'wide ResNet-101-2'],
)
def test_the_deep_ones_train_every_weight_when_they_are_narrow(backbone):
    model = build(backbone)
    step(model, views())
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in trained)


@pytest.mark.parametrize('stage', STAGES)
def test_with_one_stage_the_rest_of_the_backbone_is_frozen_and_kept(stage):
    weights = {other: float(other == stage) for other in STAGES}
    model = build(dict(RESNET, depth=18, **NARROW), head=dict(type='detco_mm.DetCoHead', stage_weights=weights))
    losses = step(model, views())
    assert {name.rsplit('_', 1)[1] for name in losses} == {stage}
    assert set(model.backbone.state_dict()) == set(bare(SMALL['ResNet-18']).state_dict())
    trained = {name.split('.')[0] for name, weight in model.backbone.named_parameters() if weight.requires_grad}
    last = STAGES.index(stage) + 1
    assert trained == {'conv1', 'bn1', *(f'layer{number}' for number in range(1, last + 1))}
    assert len(model.extract_feat(views()[0])) == 1


@pytest.mark.parametrize(
    ('backbone', 'message'),
    [
        (dict(RESNET, depth=18, out_indices=(2, 3, 4)), 'ResNet returns 3 maps, .* set its out_indices'),
        (dict(TIMM, model_name='tf_efficientnet_lite0'), 'returns 5 maps'),
        (dict(RESNET, depth=18, out_indices=(0, 1, 2, 3)), 'strides 2, 4, 8, 16, .*choose other out_indices'),
        (dict(RESNET, depth=18, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)), 'strides 4, 8, 16, 16'),
        (dict(RESNET, depth=18, in_channels=4), 'with 3 channels .*backbone.in_channels'),
    ],
)
def test_a_backbone_that_does_not_fit_is_named_with_the_way_out(backbone, message):
    with pytest.raises(ValueError, match=message):
        build(backbone)


def test_channels_that_are_given_must_be_those_of_the_backbone():
    neck = dict(type='detco_mm.DetCoNeck', out_channels=8, in_channels=(256, 512, 1024, 2048))
    with pytest.raises(ValueError, match='ResNet returns maps of 64, 128, 256, 512 channels: leave in_channels out'):
        build(dict(RESNET, depth=18), neck=neck)


def test_a_patch_too_small_for_the_backbone_is_named_before_anything_is_trained():
    model = build(SMALL['ConvNeXt-atto'])
    before = copy.deepcopy(model.backbone.state_dict())
    with pytest.raises(ValueError, match='ConvNeXt cannot take an image of 24 x 24 .*patch_size of JigsawPatches'):
        model.loss(views(side=24))
    torch.testing.assert_close(model.backbone.state_dict(), before)


def test_the_dry_run_leaves_mode_statistics_and_random_numbers_as_they_were():
    backbone = bare(SMALL['ResNet-18'])
    backbone.train()
    backbone.layer1.eval()
    before, state = copy.deepcopy(backbone.state_dict()), torch.get_rng_state()
    four_maps(backbone)
    torch.testing.assert_close(backbone.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert backbone.training and not backbone.layer1.training and backbone.layer2.training


class OwnNeck(nn.Module):
    """The smallest neck that follows the protocol: one linear layer for each stage, patches averaged."""

    def __init__(self, in_channels, stages, scopes):
        super().__init__()
        self.out_channels = 8
        self.linear = nn.ModuleList(nn.Linear(in_channels[STAGES.index(stage)], 8) for stage in stages)

    def forward(self, maps, scope):
        vectors = [layer(found.mean((2, 3))) for layer, found in zip(self.linear, maps, strict=True)]
        if scope == 'local':
            vectors = [vector.view(-1, 9, 8).mean(1) for vector in vectors]
        return nn.functional.normalize(torch.stack(vectors), dim=2)


class OwnHead(nn.Module):
    """The smallest head: cosine distance of global views at the last stage."""

    stages, query_scopes, key_scopes = ('res5',), ('global',), ('global',)

    def forward(self, queries, keys, negatives):
        return dict(loss_own=1 - (queries['global'] * keys['global']).sum(-1).mean())


def test_a_neck_and_a_head_of_ones_own_follow_a_small_protocol():
    MODELS.register_module(module=OwnNeck, force=True)
    MODELS.register_module(module=OwnHead, force=True)
    for head in (dict(type='detco_mm.DetCoHead'), dict(type='OwnHead')):
        model = build(SMALL['ResNet-18'], neck=dict(type='OwnNeck'), head=head)
        losses = step(model, views())
        assert all(torch.isfinite(value).all() for value in losses.values())
        assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)
