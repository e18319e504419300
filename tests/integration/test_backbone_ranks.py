"""Backbones under DDP on two ranks, all in one pair of processes."""

import pytest
import torch
from torch import nn

from tests.integration.ranks import on_ranks
from tests.models.zoo import KINDS, NARROW, RESNET, SMALL, build, views

WITH_CP = dict(RESNET, depth=18, with_cp=True, **NARROW)
OTHERS = tuple(name for name in SMALL if name not in KINDS)


def gradients(rank, backbones):
    """The gradients of each backbone, by name, under DDP, which waits for every weight that is trained."""
    found = {}
    for name, backbone in backbones.items():
        model = build(backbone, bn_splits='auto')
        inputs = [view + rank for view in views()]
        wrapped = nn.parallel.DistributedDataParallel(model)  # kept: without it gradients are not shared
        losses = wrapped(inputs, mode='loss')
        sum(loss for key, loss in losses.items() if 'loss' in key).backward()
        found[name] = {key: weight.grad for key, weight in model.named_parameters() if weight.requires_grad}
    return found


@pytest.fixture(scope='module')
def ranks():
    return on_ranks(gradients, 2, {**{name: SMALL[name] for name in KINDS}, 'with_cp': WITH_CP})


def all_equal(ranks, names):
    first, second = ranks
    for name in names:
        torch.testing.assert_close(first[name], second[name])
        assert all(torch.isfinite(gradient).all() for gradient in first[name].values())


def test_two_ranks_share_the_gradients_of_every_kind_of_backbone(ranks):
    all_equal(ranks, [*KINDS, 'with_cp'])


def test_gradient_checkpointing_on_two_ranks_has_the_gradients_of_none(ranks):
    with_it, without = ranks[0]['with_cp'], ranks[0]['ResNet-18']
    assert set(with_it) == set(without)
    for name, gradient in without.items():
        torch.testing.assert_close(with_it[name], gradient, rtol=1e-4, atol=1e-6)


def test_two_ranks_share_the_gradients_of_all_other_backbones():
    all_equal(on_ranks(gradients, 2, {name: SMALL[name] for name in OTHERS}), OTHERS)
