"""DetCo takes any backbone that returns four maps, and trains all of it that a loss reaches."""

import copy

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from detco_mm.models.backbone import four_maps, with_four_maps
from detco_mm.models.bn_groups import number_of_groups
from tests.integration.ranks import on_ranks
from tests.models.zoo import LARGE, RESNET, SMALL, TIMM

STAGES = ('res2', 'res3', 'res4', 'res5')


def build(backbone, **options):
    init_default_scope('mmselfsup')
    torch.manual_seed(0)
    given = dict(
        queue_len=8, neck=dict(type='detco_mm.DetCoNeck', out_channels=8), head=dict(type='detco_mm.DetCoHead')
    )
    return MODELS.build(dict(type='detco_mm.DetCo', backbone=copy.deepcopy(backbone)) | given | options)


def views(images=2, side=32, device='cpu', channels=3):
    torch.manual_seed(1)
    whole = [torch.randn(images, channels, 64, 64, device=device) for _ in range(2)]
    return [*whole, *(torch.randn(images, 9, channels, side, side, device=device) for _ in range(2))]


def step(model, inputs):
    losses = model.loss(inputs)
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    return losses


@pytest.mark.parametrize('name', SMALL)
def test_a_step_trains_every_weight_that_is_not_frozen(name):
    model = build(SMALL[name])
    losses = step(model, views())
    assert {f'loss_{pair}_{stage}' for pair in ('g2g', 'l2l', 'l2g') for stage in STAGES} <= set(losses)
    trained = {weight_name: weight for weight_name, weight in model.named_parameters() if weight.requires_grad}
    assert not [weight_name for weight_name, weight in trained.items() if weight.grad is None]
    assert all(torch.isfinite(weight.grad).all() for weight in trained.values())
    frozen = sum(not weight.requires_grad for weight in model.backbone.parameters())
    assert frozen <= 0.1 * sum(1 for _ in model.backbone.parameters())
    assert len(model.state_dict()) and set(model.backbone.state_dict()) == set(bare(SMALL[name]).state_dict())


def bare(backbone):
    """The backbone as its own library builds it."""
    init_default_scope('mmselfsup')
    return MODELS.build(with_four_maps(copy.deepcopy(backbone)))


@pytest.mark.parametrize('name', LARGE)
def test_channels_are_found_at_full_size(name):
    maps = four_maps(bare(LARGE[name]).to('meta'))
    assert [found.shape[2] for found in maps] == [16, 8, 4, 2]
    if 'ResNe' in name and 'V1d' not in name:
        assert [found.shape[1] for found in maps] == [256, 512, 1024, 2048]


def on_two_ranks(rank, names):
    """Losses and the norm of the gradients of each backbone under DDP, which waits for every weight that is trained."""
    found = {}
    for name in names:
        wrapped = nn.parallel.DistributedDataParallel(build(SMALL[name], bn_splits='auto'))
        with torch.no_grad():
            inputs = [view + rank for view in views()]
        losses = wrapped(inputs, mode='loss')
        sum(loss for key, loss in losses.items() if 'loss' in key).backward()
        norms = [weight.grad.norm() for weight in wrapped.parameters() if weight.requires_grad]
        found[name] = torch.stack(norms)
    return found


def test_two_ranks_share_the_gradients_of_every_backbone():
    names = list(SMALL)
    first, second = on_ranks(on_two_ranks, 2, names)
    for name in names:
        torch.testing.assert_close(first[name], second[name])
        assert torch.isfinite(first[name]).all()


def with_and_without_checkpointing(rank):
    found = []
    for with_cp in (True, False):
        model = build(dict(RESNET, depth=18, with_cp=with_cp), bn_splits='auto')
        losses = nn.parallel.DistributedDataParallel(model)(views(), mode='loss')
        sum(loss for key, loss in losses.items() if 'loss' in key).backward()
        found.append({name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad})
    return found


def test_gradient_checkpointing_on_two_ranks_has_the_gradients_of_none():
    with_it, without = on_ranks(with_and_without_checkpointing, 2)[0]
    assert set(with_it) == set(without)
    for name, gradient in without.items():
        torch.testing.assert_close(with_it[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('stage', STAGES)
def test_with_one_stage_the_rest_of_the_backbone_is_frozen_and_kept(stage):
    weights = {other: float(other == stage) for other in STAGES}
    model = build(dict(RESNET, depth=18), head=dict(type='detco_mm.DetCoHead', stage_weights=weights))
    losses = step(model, views())
    assert {name.rsplit('_', 1)[1] for name in losses} == {stage}
    assert set(model.backbone.state_dict()) == set(bare(dict(RESNET, depth=18)).state_dict())
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
        model = build(dict(RESNET, depth=18), neck=dict(type='OwnNeck'), head=head)
        losses = step(model, views())
        assert all(torch.isfinite(value).all() for value in losses.values())
        assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)


@pytest.mark.parametrize(
    ('images', 'groups'), [(256, 8), (64, 4), (32, 2), (48, 3), (16, 2), (9, 3), (6, 2), (5, 1), (2, 1)]
)
def test_one_process_imitates_as_many_gpus_as_leave_each_enough_images(images, groups):
    assert number_of_groups(images) == groups


@pytest.mark.parametrize(('images', 'splits'), [(6, 4), (5, 4), (4, 4), (3, 2)])
def test_groups_that_are_not_equal_or_hold_one_image_are_refused(images, splits):
    model = build(SMALL['ResNet-18'], bn_splits=splits, queue_len=16)
    with pytest.raises(ValueError, match=f"bn_splits={splits} and a batch of {images}: .*bn_splits='auto'"):
        model.loss(views(images))


def test_auto_groups_are_logged_and_a_run_that_could_leak_is_told(tmp_path):
    logger = MMLogger.get_instance(str(tmp_path), log_file=str(tmp_path / 'log'))
    build(SMALL['ResNet-18'], bn_splits='auto', queue_len=16).loss(views(4))
    assert 'over 2 groups of 2 of the shuffled batch' in (tmp_path / 'log').read_text()
    assert 'may recognise' not in (tmp_path / 'log').read_text()
    build(SMALL['ResNet-18'], queue_len=16).loss(views(4))
    assert (tmp_path / 'log').read_text().count("set model.shuffle_bn=True and model.bn_splits='auto'") == 1
    build(SMALL['ResNet-18'], shuffle_bn=False, bn_splits=2, queue_len=16).loss(views(4))
    assert (tmp_path / 'log').read_text().count("set model.shuffle_bn=True and model.bn_splits='auto'") == 2
    build(SMALL['Swin'], queue_len=16).loss(views(4))
    assert 'no BN in the key encoder: its batch is neither shuffled nor split' in (tmp_path / 'log').read_text()
    logger.handlers[1].close()
