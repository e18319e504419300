"""The algorithm on one process."""

import copy
import io
import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from torch.nn.modules.batchnorm import _BatchNorm

from detco_mm.models import DetCo
from detco_mm.models.shuffle_bn import Draws


def build(**overrides):
    """A DetCo on a narrow ResNet-18."""
    cfg = dict(
        type='detco_mm.DetCo',
        queue_len=64,
        backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN')),
        neck=dict(type='detco_mm.DetCoNeck', in_channels=(8, 16, 32, 64), out_channels=16),
        head=dict(type='detco_mm.DetCoHead'),
    )
    for key, value in overrides.items():
        cfg[key] = {**cfg.get(key, {}), **value} if isinstance(value, dict) else value
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        return ROOT.build(cfg)


def views(images=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(images, 3, 32, 32)] * 2 + [(images, 9, 3, 16, 16)] * 2
    return [torch.randn(shape, generator=generator, device='cpu').to(torch.get_default_device()) for shape in shapes]


def freeze_bn(model):
    """Let BN normalise by the statistics that it has, in a model that trains."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
    return model


def total(losses):
    return sum(value for name, value in losses.items() if name.startswith('loss'))


def test_the_runners_scope_builds_it_with_twelve_losses_that_reach_every_query_parameter():
    model = build()
    assert isinstance(model, DetCo)
    losses = model.loss(views())
    assert [name for name in losses if name.startswith('loss')] == [
        f'loss_{pair}_{stage}' for pair in ('g2g', 'l2l', 'l2g') for stage in ('res2', 'res3', 'res4', 'res5')
    ]
    assert not any(value.requires_grad for name, value in losses.items() if name.startswith('acc'))
    total(losses).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == (not name.startswith('key_encoder.')), name


def test_the_first_momentum_update_is_an_ordinary_one():
    model = build(momentum=0.9)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(1.0)
    before = copy.deepcopy(list(model.key_encoder.backbone.parameters()))
    model.loss(views())
    for old, new, query in zip(
        before, model.key_encoder.backbone.parameters(), model.backbone.parameters(), strict=True
    ):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * query)


def test_the_key_encoder_starts_as_a_copy_after_initialisation():
    model = build()
    model.init_weights()
    for (name, key), query in zip(
        model.key_encoder.backbone.named_parameters(), model.backbone.parameters(), strict=True
    ):
        assert torch.equal(key, query), name
    for key, query in zip(model.key_encoder.neck.parameters(), model.neck.parameters(), strict=True):
        assert torch.equal(key, query)


def test_keys_come_from_the_key_encoder_and_are_enqueued_after_the_loss_used_the_queue():
    model = build(momentum=1.0)
    with torch.no_grad():  # a query encoder that is unlike the key encoder
        for parameter in model.backbone.parameters():
            parameter.mul_(1.5)
    batch = views()
    reference = copy.deepcopy(model)
    model.loss(batch)
    for row, scope, view in ((slice(0, 4), 'global', batch[1]), (slice(4, 8), 'local', batch[3].flatten(0, 1))):
        expected = reference.key_encoder.neck(reference.key_encoder.backbone(view), scope)
        torch.testing.assert_close(model.queue.keys[row, :4], expected)
    assert torch.equal(model.queue.keys[:, 4:], reference.queue.keys[:, 4:])
    assert int(model.queue.pointer) == 4


def test_under_accumulation_key_encoder_and_queue_move_once_an_optimizer_step():
    model = build()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=3)
    wrapper.initialize_count_status(model, 0, 6)
    seen = []
    for step in range(6):
        weight = next(model.key_encoder.backbone.parameters()).clone()
        model.train_step(dict(inputs=[view.clone() for view in views(seed=step)]), wrapper)
        moved = not torch.equal(weight, next(model.key_encoder.backbone.parameters()))
        seen.append((moved, int(model.queue.pointer)))
    # In the first step the query is still the key's equal; later the key follows in each step's first micro-batch.
    assert [moved for moved, _ in seen][3:] == [True, False, False]
    assert [pointer for _, pointer in seen] == [0, 0, 12, 12, 12, 24]


@pytest.mark.parametrize('way', ['evaluation mode', 'no gradients', 'within a step'])
def test_a_loss_that_nobody_steps_after_moves_neither_key_encoder_nor_queue(way):
    model = build(momentum=0.5)
    if way == 'within a step':  # in training, between two micro-batches
        with model.no_sync():
            model.loss(views(2))
    model.train(way != 'evaluation mode')
    with torch.no_grad():  # a query encoder that the key encoder would follow
        for parameter in model.backbone.parameters():
            parameter.mul_(1.5)
    before = copy.deepcopy(model.state_dict())
    with torch.set_grad_enabled(way == 'evaluation mode'):
        losses = model.loss(views(seed=1))
    assert total(losses) > 0
    for name, value in model.state_dict().items():
        # statistics of BN follow the mode, here as in any network
        assert 'running_' in name or 'num_batches' in name or torch.equal(before[name], value), name
    if way == 'within a step':
        model.loss(views(2, seed=2))
        assert int(model.queue.pointer) == 4  # of both micro-batches, and none of what was between them


def test_a_look_leaves_the_orders_of_the_steps_to_come():
    model = build(bn_splits=2)
    with torch.no_grad():
        model.loss(views(4))
    assert vars(model._draws) == vars(Draws())
    model.loss(views(4))
    assert vars(model._draws) != vars(Draws())


@pytest.mark.parametrize('splits', [2, 4])
def test_bn_splits_take_the_statistics_of_keys_over_groups(splits):
    torch.manual_seed(0)
    model = build(bn_splits=splits, shuffle_bn=False)
    reference = copy.deepcopy(model)
    batch = views(8)
    model.loss(batch)
    groups = [reference.key_encoder.backbone(group) for group in batch[1].chunk(splits)]
    expected = torch.cat([reference.key_encoder.neck(maps, 'global') for maps in groups], dim=1)
    torch.testing.assert_close(model.queue.keys[:4, :8], expected)
    whole = reference.key_encoder.neck(reference.key_encoder.backbone(batch[1]), 'global')
    assert not torch.allclose(expected, whole, atol=1e-3)


def test_shuffled_keys_come_back_in_the_order_of_their_images():
    model = freeze_bn(build(bn_splits=2))  # BN does not depend on the group then, so only the order can differ
    reference = copy.deepcopy(model)
    batch = views(6)
    model.loss(batch)
    expected = reference.key_encoder.neck(reference.key_encoder.backbone(batch[1]), 'global')
    torch.testing.assert_close(model.queue.keys[:4, :6], expected)


@pytest.mark.parametrize(
    ('head', 'expected_stages', 'scopes', 'rows'),
    [
        (dict(pairs=('g2g',), stage_weights=dict(res5=1)), {'res5'}, {'global'}, 1),
        (dict(pairs=('l2l',), stage_weights=dict(res3=1, res4=0)), {'res3'}, {'local'}, 1),
        (dict(pairs=('l2g',)), {'res2', 'res3', 'res4', 'res5'}, {'global', 'local'}, 4),
        (dict(pairs=('g2g', 'l2g'), stage_weights=dict(res2=1, res4=1)), {'res2', 'res4'}, {'global', 'local'}, 2),
    ],
)
def test_what_no_pair_uses_is_not_built_and_what_is_built_and_trainable_is_used(head, expected_stages, scopes, rows):
    model = build(head=head)
    names = [name.split('.') for name, _ in model.neck.named_parameters()]
    assert {name[2] for name in names} == expected_stages and {name[1] for name in names} == scopes
    assert model.queue.keys.shape[0] == rows
    total(model.loss(views())).backward()
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []


def test_extract_feat_gives_the_stage_maps():
    model = build().eval()
    maps = model.extract_feat([views()[0]])
    assert [stage.shape[1:] for stage in maps] == [(8, 8, 8), (16, 4, 4), (32, 2, 2), (64, 1, 1)]
    backbone = model.backbone
    expected = backbone.maxpool(backbone.norm1(backbone.conv1(views()[0])).relu())
    for found, stage in zip(maps, (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4), strict=True):
        expected = stage(expected)
        torch.testing.assert_close(found, expected)


def test_a_batch_that_does_not_fit_the_queue_is_refused_before_anything_moves():
    model = build(queue_len=3)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match='batch of 4 keys does not fit a queue of 3'):
        model.loss(views())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_sync_bn_in_the_backbone_gets_a_warning_that_says_why():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    build(backbone=dict(norm_cfg=dict(type='SyncBN')))
    logger.removeHandler(handler)
    assert 'undo shuffling BN' in stream.getvalue()


@pytest.mark.parametrize(
    ('arguments', 'message'), [(dict(momentum=1.1), 'momentum=1.1'), (dict(bn_splits=0), 'bn_splits=0')]
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build(**arguments)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_under_autocast_vectors_losses_and_queue_are_in_float32(dtype):
    model = build()
    with torch.autocast('cpu', dtype):
        maps = model.backbone(views()[0])
        assert {stage.dtype for stage in maps} == {dtype}  # it is at work
        vectors = model.neck(maps, 'global')
        losses = model.loss(views())
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=2), torch.ones(4, 4), rtol=0, atol=1e-6)
    assert {value.dtype for value in losses.values()} == {torch.float32}
    newest = model.queue.keys[:, :4]
    torch.testing.assert_close(newest.norm(dim=2), torch.ones(8, 4), rtol=0, atol=1e-6)
    # none of them is what half precision could hold
    assert not torch.equal(newest, newest.to(dtype).float())
    total(losses).backward()
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


def test_compiled_backbones_keep_losses_names_and_copies():
    plain, compiled = build(), build(compile_backbone=dict(backend='eager'))
    compiled.load_state_dict(plain.state_dict())
    assert list(compiled.state_dict()) == list(plain.state_dict())
    torch._dynamo.utils.counters.clear()
    for step in range(3):
        assert total(compiled.loss(views(seed=step))) == total(plain.loss(views(seed=step)))
    # whole views and patches, with gradients and without, and none of them anew
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == 4
    assert list(copy.deepcopy(compiled).state_dict()) == list(plain.state_dict())


def test_weights_follow_the_layout_of_the_images_and_are_drawn_as_in_the_other():
    models = []
    for channels_last in (False, True):
        torch.manual_seed(0)
        preprocessor = dict(type='detco_mm.DetCoDataPreprocessor', channels_last=channels_last)
        models.append(build(data_preprocessor=preprocessor))
        models[-1].init_weights()
    plain, last = models
    for encoder in (last, last.key_encoder):
        assert encoder.backbone.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), last.state_dict().values(), strict=True))
