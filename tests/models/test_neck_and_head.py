"""Projections and objective."""

import pytest
import torch
import torch.nn.functional as F

from detco_mm.models import STAGES, DetCoHead, DetCoNeck

CHANNELS = (4, 6, 8, 10)


def maps(images):
    return [torch.randn(images, channels, 3, 3) for channels in CHANNELS]


@pytest.mark.parametrize('kind', ['compact', 'joint', 'per_patch'])
def test_every_projection_makes_unit_vectors_of_every_stage(kind):
    neck = DetCoNeck(CHANNELS, 5, kind)
    for scope, images in (('global', 2), ('local', 18)):
        vectors = neck(maps(images), scope)
        assert vectors.shape == (4, 2, 5)
        torch.testing.assert_close(vectors.norm(dim=2), torch.ones(4, 2))


def test_parameters_of_the_local_projections_on_resnet50_are_the_papers_and_the_references():
    def count(kind):
        neck = DetCoNeck(local_projection=kind, scopes=('local',))
        return sum(parameter.numel() for parameter in neck.parameters())

    assert count('joint') == pytest.approx(455.7e6, rel=1e-3)
    assert count('compact') == pytest.approx(51e6, rel=2e-2)


def test_patches_of_one_image_stay_together():
    neck = DetCoNeck(CHANNELS, 5)
    both = maps(18)
    first = [stage_map[:9] for stage_map in both]
    torch.testing.assert_close(neck(both, 'local')[:, :1], neck(first, 'local'))


def test_a_stage_or_scope_that_is_not_asked_for_is_not_built():
    neck = DetCoNeck(CHANNELS, 5, stages=('res4',), scopes=('local',))
    assert {name.split('.')[1:3][0] for name, _ in neck.named_parameters()} == {'local'}
    assert {name.split('.')[2] for name, _ in neck.named_parameters()} == {'res4'}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(local_projection='wide'), "local_projection='wide' is unknown"),
        (dict(stages=('res6',)), "stage 'res6' is unknown"),
        (dict(scopes=('glocal',)), "scope 'glocal' is unknown"),
        (dict(in_channels=(1, 2)), 'in_channels=\\(1, 2\\)'),
    ],
)
def test_the_neck_names_what_it_does_not_know(arguments, message):
    with pytest.raises(ValueError, match=message):
        DetCoNeck(**arguments)


def unit(*shape):
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def test_losses_equal_a_loop_written_by_hand():
    torch.manual_seed(0)
    weights = dict(res2=0.1, res3=0.4, res4=0.7, res5=1.0)
    queries = {'global': unit(4, 3, 6), 'local': unit(4, 3, 6)}
    keys = {'global': unit(4, 3, 6), 'local': unit(4, 3, 6)}
    queues = {'global': unit(4, 20, 6), 'local': unit(4, 20, 6)}
    losses = DetCoHead()(queries, keys, queues)
    for pair in ('g2g', 'l2l', 'l2g'):
        query_scope = {'g': 'global', 'l': 'local'}[pair[0]]
        key_scope = {'g': 'global', 'l': 'local'}[pair[2]]
        for index, stage in enumerate(STAGES):
            expected, hits = 0.0, 0
            for query, key in zip(queries[query_scope][index], keys[key_scope][index], strict=True):
                logits = torch.stack([query @ key, *(query @ negative for negative in queues[key_scope][index])]) / 0.2
                expected += float(-logits.log_softmax(0)[0]) / 3
                hits += int(logits.argmax() == 0)
            assert float(losses[f'loss_{pair}_{stage}']) == pytest.approx(weights[stage] * expected, rel=1e-10)
            assert float(losses[f'acc_{pair}_{stage}']) == pytest.approx(hits / 3)
    assert len(losses) == 24


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(pairs=('g2x',)), "pair 'g2x' is unknown: choose from g2g, l2l, l2g"),
        (dict(pairs=()), 'name at least one'),
        (dict(stage_weights=dict(res6=1)), "stage 'res6' in stage_weights is unknown"),
        (dict(stage_weights=dict(res5=-1)), 'stage_weights.res5=-1'),
        (dict(stage_weights=dict(res5=0)), 'at least one stage'),
        (dict(temperature=0), 'temperature=0'),
    ],
)
def test_the_head_names_value_rule_and_way_out(arguments, message):
    with pytest.raises(ValueError, match=message):
        DetCoHead(**arguments)
