"""Where an epoch goes on, and where it cannot."""

import pytest

from tests.engine.hooks.runs import build, log, scalars
from tests.integration.small_run import photographs


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 24)


def test_an_epoch_goes_on_where_it_was_but_starts_anew_with_another_batch(images, tmp_path):
    build(images, tmp_path / 'run', []).train()  # six steps an epoch
    second = tmp_path / 'run/iter_2.pth'
    build(images, tmp_path / 'same', [], resume=second).train()
    assert [row['step'] for row in scalars(tmp_path / 'same')] == list(range(3, 13))
    assert 'starts anew' not in log(tmp_path / 'same')
    build(images, tmp_path / 'larger', [], resume=second, **{'train_dataloader.batch_size': 8}).train()
    assert [row['step'] for row in scalars(tmp_path / 'larger')] == list(range(3, 9))  # two epochs of three steps
    assert 'epoch 1 starts anew: 2 of its 6 steps are done, but with this batch' in log(tmp_path / 'larger')


def test_a_sampler_that_cannot_start_in_an_epoch_is_refused(images, tmp_path):
    runner = build(images, tmp_path, [], **{'train_dataloader.sampler.type': 'DefaultSampler'})
    with pytest.raises(ValueError, match="DefaultSampler, which cannot .* set train_dataloader.sampler.type='detco_mm"):
        runner.train()


def test_an_epoch_that_ends_within_an_optimizer_step_gets_a_warning(images, tmp_path):
    checks = [dict(type='detco_mm.RunChecks')]
    accumulate = {'optim_wrapper.accumulative_counts': 4, 'model.queue_len': 16}
    build(images, tmp_path / 'within', checks, **accumulate).train()
    assert 'an epoch of 6 micro-batches ends within an optimizer step of 4' in log(tmp_path / 'within')
    accumulate['optim_wrapper.accumulative_counts'] = 3
    build(images, tmp_path / 'between', checks, **accumulate).train()
    assert 'ends within' not in log(tmp_path / 'between')
