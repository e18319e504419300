"""Numbers that are not finite are stopped before weights, queues and checkpoints."""

import os
import re

import pytest
import torch
from mmengine.config import Config

from detco_mm.engine.errors import RunStopped
from detco_mm.engine.hooks import StopOnNonFinite
from tests.engine.hooks import runs
from tests.engine.hooks.runs import log, saved, steps_saved, stop
from tests.integration import broken_images  # noqa: F401  (registers the transform)
from tests.integration.ranks import on_ranks
from tests.integration.small_run import CONFIG, ROOT, command, photographs, start

STEPS = 6  # two epochs of 12 images in batches of 4, in the order of their names


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 12)


SGD = {'optim_wrapper.optimizer': dict(type='SGD', lr=0.03, momentum=0.9, fused=True, _delete_=True)}


def build(images, work_dir, broken=(), max_skips=0, **options):
    hook = dict(type='detco_mm.StopOnNonFinite', max_skips=max_skips)
    return runs.build(images, work_dir, [hook], broken, **options)


def weights(state):
    """What the optimizer changes."""
    return {k: v for k, v in state.items() if not re.search('^key_encoder|^queue|running|num_batches', k)}


def statistics(state):
    """BN's running means and variances, of both encoders."""
    return {k: v for k, v in state.items() if 'running' in k}


def momentum(optimizer):
    return {f'{i}.{k}': v for i, entry in optimizer['state'].items() for k, v in entry.items() if k != 'step'}


def assert_same(one, other):
    assert one and one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def assert_finite(tensors):
    assert all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point())


def test_a_broken_image_stops_the_run_with_step_pairs_stages_and_path(images, tmp_path):
    runner = build(images, tmp_path / 'run', broken=['09.jpg'])
    message = stop(runner)
    assert 'step 3: the loss is not finite' in message and 'Rank 0, 12 of 12 losses' in message
    for pair in ('g2g', 'l2l', 'l2g'):
        assert all(f'loss_{pair}_{stage} nan' in message for stage in ('res2', 'res3', 'res4', 'res5'))
    assert f'non-finite pixels in {images}/09.jpg, of 4 images' in message  # and no other of its batch
    assert '08.jpg' not in message and 'max_skips' in message


def test_nothing_of_the_bad_step_is_in_weights_momentum_queue_or_checkpoints(images, tmp_path):
    runner = build(images, tmp_path, broken=['09.jpg'])
    stop(runner)
    assert steps_saved(tmp_path) == [1, 2]
    before, state = saved(tmp_path, 2), runner.model.state_dict()
    assert_same(weights(state), weights(before['state_dict']))
    assert_same(momentum(runner.optim_wrapper.state_dict()), momentum(before['optimizer']))
    assert torch.equal(state['queue.keys'], before['state_dict']['queue.keys'])
    assert_finite({k: v for k, v in state.items() if 'running' not in k})


@pytest.mark.parametrize('accumulated', [1, 3])
def test_with_its_image_mended_a_stopped_run_ends_like_one_that_never_stopped(images, tmp_path, accumulated):
    options = {'optim_wrapper.accumulative_counts': accumulated, 'model.queue_len': 12}
    options['default_hooks.checkpoint.interval'] = accumulated
    build(images, tmp_path / 'whole', **options).train()
    message = stop(build(images, tmp_path / 'cut', broken=['05.jpg'], **options))
    # found before the step, which is of the first three batches where they accumulate
    assert f'step {3 if accumulated == 3 else 2}' in message and f'{images}/05.jpg' in message
    build(images, tmp_path / 'cut', resume='auto', **options).train()
    ends = [saved(tmp_path / run, STEPS) for run in ('whole', 'cut')]
    assert_same(ends[0]['state_dict'], ends[1]['state_dict'])
    assert_same(momentum(ends[0]['optimizer']), momentum(ends[1]['optimizer']))


def test_statistics_that_went_bad_between_accumulated_batches_are_not_saved(images, tmp_path):
    options = {'optim_wrapper.accumulative_counts': 3, 'model.queue_len': 12}
    message = stop(build(images, tmp_path, broken=['05.jpg'], **options))
    assert re.search(
        f'step 2: .* not written: backbone.bn1.running_mean.*non-finite pixels in {images}/05.jpg', message
    )
    assert steps_saved(tmp_path) == [1]


def test_the_hook_changes_nothing_in_a_healthy_run(images, tmp_path):
    build(images, tmp_path / 'with', max_skips=2).train()
    without = build(images, tmp_path / 'without')
    without._hooks = [hook for hook in without._hooks if not isinstance(hook, StopOnNonFinite)]
    without.train()
    ends = [saved(tmp_path / run, STEPS) for run in ('with', 'without')]
    assert_same(ends[0]['state_dict'], ends[1]['state_dict'])
    assert_same(momentum(ends[0]['optimizer']), momentum(ends[1]['optimizer']))


@pytest.mark.parametrize('options', [{}, SGD], ids=['AdamW', 'SGD'])
def test_two_skipped_steps_leave_all_but_the_average_as_it_was_and_the_run_goes_on(images, tmp_path, options):
    runner = build(images, tmp_path, broken=['05.jpg'], max_skips=2, **options)  # in steps 2 and 5
    runner.train()
    assert steps_saved(tmp_path) == list(range(1, STEPS + 1))
    states = {step: saved(tmp_path, step) for step in range(1, STEPS + 1)}
    for step in range(2, STEPS + 1):
        before, after = states[step - 1]['state_dict'], states[step]['state_dict']
        assert_finite(after)
        if step in (2, 5):
            assert_same(weights(before), weights(after))
            assert_same(statistics(before), statistics(after))
            assert_same(momentum(states[step - 1]['optimizer']), momentum(states[step]['optimizer']))
            assert torch.equal(before['queue.keys'], after['queue.keys'])
            # the key encoder has followed the weights by one step more
            name = 'backbone.conv1.weight'
            follows = before[f'key_encoder.{name}'].lerp(before[name], 1 - 0.996)
            assert torch.equal(after[f'key_encoder.{name}'], follows)
        else:
            assert not torch.equal(before['backbone.conv1.weight'], after['backbone.conv1.weight'])
            assert not torch.equal(before['backbone.bn1.running_mean'], after['backbone.bn1.running_mean'])
    written = log(tmp_path)
    assert 'step 2 is skipped, 1 of at most 2' in written and 'step 5 is skipped, 2 of at most 2' in written


def test_one_more_than_may_be_skipped_stops_and_those_before_a_resumption_count(images, tmp_path):
    message = stop(build(images, tmp_path, broken=['00.jpg', '05.jpg', '09.jpg'], max_skips=2))
    assert 'step 3' in message and '2 such steps were skipped before' in message
    assert steps_saved(tmp_path) == [1, 2]
    assert 'step 3' in stop(build(images, tmp_path, broken=['09.jpg'], max_skips=2, resume='auto'))


def test_a_learning_rate_beyond_all_bounds_is_stopped_at_the_first_loss_that_it_breaks(images, tmp_path):
    runner = build(images, tmp_path, **{'optim_wrapper.optimizer.lr': 1e30, 'default_hooks.checkpoint.interval': 2})
    message = stop(runner)
    assert 'step 2: the loss is not finite' in message
    assert f'images of the batch: {images}/04.jpg, {images}/05.jpg, {images}/06.jpg, {images}/07.jpg' in message
    assert steps_saved(tmp_path) == []
    assert_finite(weights(runner.model.state_dict()))
    assert_finite({'queue': runner.model.queue.keys})


def test_weights_that_an_update_drives_out_of_float32_are_not_saved(images, tmp_path):
    message = stop(build(images, tmp_path, **{'optim_wrapper.optimizer.lr': 1e30}))
    assert re.search(r'step 1: what is to be saved is no longer finite, and is not written: .*backbone\.', message)
    assert steps_saved(tmp_path) == []


def on_two(rank, images, work_dir, broken, max_skips):
    """One of two ranks; it holds every other image."""
    os.environ['LOCAL_RANK'] = str(rank)  # which MMEngine reads
    runner = build(images, work_dir, broken, max_skips, launcher='pytorch', **{'model.shuffle_bn': False})
    message = ''
    try:
        runner.train()
    except RunStopped as error:
        message = str(error)
    return message, runner.model.module.state_dict(), momentum(runner.optim_wrapper.state_dict())


@pytest.fixture(scope='module')
def more_images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 16)  # two steps an epoch


def test_both_ranks_stop_and_the_first_ranks_log_names_what_the_second_had(more_images, tmp_path):
    (first, *state), (second, *other) = on_ranks(on_two, 2, more_images, tmp_path, ['09.jpg'], 0)
    assert first == second and 'step 2: the loss is not finite. Rank 1, 12 of 12 losses: ' in first
    assert f'non-finite pixels in {more_images}/09.jpg' in first and 'Rank 0' not in first
    assert steps_saved(tmp_path) == [1]
    before = saved(tmp_path, 1)
    for model, buffers in (state, other):
        assert_same(weights(model), weights(before['state_dict']))
        assert_same(buffers, momentum(before['optimizer']))


def test_two_ranks_skip_alike_and_keep_the_keys_of_the_one_that_was_well(more_images, tmp_path):
    (_, first, buffers), (_, second, others) = on_ranks(on_two, 2, more_images, tmp_path, ['09.jpg'], 2)
    assert_same(weights(first), weights(second))
    assert_same(buffers, others)
    assert_finite(first)
    assert_finite(second)
    assert torch.equal(first['queue.keys'], second['queue.keys'])
    before, after = (saved(tmp_path, step)['state_dict']['queue.keys'] for step in (1, 2))
    assert not torch.equal(before[:, :4], after[:, :4])  # a queue of two steps' keys, those of rank 0 first
    assert torch.equal(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize('ranks', [1, 2])
def test_the_command_ends_with_one_message_and_no_traceback_of_ours(more_images, tmp_path, ranks):
    config = tmp_path / 'broken.py'
    config.write_text(
        f"_base_ = '{ROOT / CONFIG}'\n"
        "custom_imports = dict(imports=['tests.integration.broken_images'])\n"
        "train_pipeline = [*_base_.train_pipeline, dict(type='detco_mm.BreakImages', names=['09.jpg'])]\n"
        'train_dataloader = dict(sampler=dict(shuffle=False), dataset=dict(pipeline=train_pipeline))\n'
    )
    tool = ['tools/train.py', config] if ranks == 1 else ['tools/dist_train.sh', config, '2']
    line = command(*tool, '--work-dir', tmp_path / 'run', options=[f'data.root={more_images}'])
    run = start(line, tmp_path / 'log', PYTHONPATH=str(ROOT))
    assert run.wait(120) == 1
    printed = (tmp_path / 'log').read_text()
    assert printed.count('the loss is not finite') == log(tmp_path / 'run').count('the loss is not finite') == 1
    assert f'non-finite pixels in {more_images}/09.jpg' in printed
    assert '_training.py", line' not in printed
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_negative_number_of_skips_is_refused():
    with pytest.raises(ValueError, match='max_skips=-1'):
        StopOnNonFinite(max_skips=-1)


def test_all_hooks_of_pre_training_serve_or_leave_alone_another_algorithm(images, tmp_path):
    defaults = Config.fromfile(ROOT / 'configs/_base_/default_runtime.py').default_hooks
    defaults.watch_contrast.interval = 1
    hooks = [defaults[name] for name in runs.OURS]
    moco = dict(
        type='MoCo',
        queue_len=8,
        feat_dim=16,
        backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN')),
        neck=dict(type='MoCoV2Neck', in_channels=64, hid_channels=64, out_channels=16),
        head=dict(type='ContrastiveHead', loss=dict(type='mmcls.CrossEntropyLoss'), temperature=0.2),
        data_preprocessor=dict(type='detco_mm.DetCoDataPreprocessor'),
    )
    runner = runs.build(images, tmp_path, hooks, broken=['05.jpg'], model=dict(moco, _delete_=True))
    message = stop(runner)
    assert type(runner.model).__name__ == 'MoCo' and len(runner._hooks) > len(hooks)
    assert 'step 2: the loss is not finite. Rank 0, 1 of 1 losses: loss nan; non-finite pixels' in message
    assert steps_saved(tmp_path) == [1]
