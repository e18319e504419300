"""A resumed run follows the schedule of its own config, at the place where it has come to."""

import pytest
from mmengine.runner import Runner

from tests.compat.tiny_run import Model, Numbers

STEPS = {2: 6, 3: 4, 6: 2}  # of an epoch of twelve numbers, by batch size


class Twelve(Numbers):
    def __len__(self):
        return 12


def train(work_dir, epochs, batch=2, resume=None, lr=0.1, schedule=(dict(convert_to_iter_based=True),), decay=0.0):
    """Train, and return the learning rate of each step and the log."""
    schedules = [dict(type='CosineAnnealingLR', by_epoch=True) | one for one in schedule]
    runner = Runner(
        Model(),
        str(work_dir),
        train_dataloader=dict(dataset=Twelve(), batch_size=batch, sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=decay)),
        param_scheduler=schedules,
        default_hooks=dict(
            checkpoint=dict(type='detco_mm.SafeCheckpoint', interval=1), logger=dict(type='LoggerHook', interval=1)
        ),
        default_scope='mmengine',
        load_from=resume and str(resume),
        resume=resume is not None,
        experiment_name=str(work_dir),
    )
    runner.train()
    (log,) = work_dir.glob('*/*.log')
    history = runner.message_hub.get_scalar('train/lr').data[0].tolist()
    return history, log.read_text(), runner.model.weight.tolist()


KINDS = {
    'by step': [dict(convert_to_iter_based=True)],
    'by epoch': [dict()],
    'after a warm-up': [
        dict(type='LinearLR', by_epoch=False, begin=0, end=5, start_factor=0.01),
        dict(convert_to_iter_based=True),
    ],
    'in stages': [dict(type='MultiStepLR', milestones=[1, 3], gamma=0.1)],
}


@pytest.mark.parametrize('kind', KINDS)
def test_for_more_epochs_it_goes_on_as_a_run_that_was_to_have_them_from_the_start(kind, tmp_path):
    train(tmp_path / 'short', 2, schedule=KINDS[kind])
    expected, _, weight = train(tmp_path / 'long', 5, schedule=KINDS[kind])
    found, log, _ = train(tmp_path / 'on', 5, resume=tmp_path / 'short/epoch_2.pth', schedule=KINDS[kind])
    assert found[12:] == pytest.approx(expected[12:])
    assert ('rebuilt' in log) == (kind != 'in stages' or 'end' in log)


@pytest.mark.parametrize('batch', [3, 6])
def test_with_another_batch_size_it_ends_where_the_config_says(batch, tmp_path):
    train(tmp_path / 'short', 4, batch=2)
    expected, _, _ = train(tmp_path / 'all', 4, batch=batch)
    found, log, _ = train(tmp_path / 'on', 4, batch=batch, resume=tmp_path / 'short/epoch_1.pth')
    assert found[STEPS[2] :] == pytest.approx(expected[STEPS[batch] :])
    assert f'steps of an epoch 6 -> {STEPS[batch]}' in log


def test_with_another_rate_and_weight_decay_it_takes_them(tmp_path):
    train(tmp_path / 'short', 3)
    expected, _, _ = train(tmp_path / 'all', 3, lr=0.01)
    found, log, _ = train(tmp_path / 'on', 3, lr=0.01, decay=0.5, resume=tmp_path / 'short/epoch_1.pth')
    assert found[6:] == pytest.approx(expected[6:])
    assert 'initial_lr 0.1 -> 0.01' in log and 'weight_decay 0 -> 0.5' in log


@pytest.mark.parametrize('kind', KINDS)
def test_with_the_same_settings_nothing_is_touched(kind, tmp_path):
    expected, _, weight = train(tmp_path / 'all', 3, schedule=KINDS[kind])
    found, log, resumed = train(tmp_path / 'on', 3, resume=tmp_path / 'all/epoch_2.pth', schedule=KINDS[kind])
    assert found == expected and resumed == weight and 'rebuilt' not in log


def test_one_that_follows_a_metric_cannot_be_rebuilt_and_says_so(tmp_path):
    plateau = [dict(), dict(type='ReduceOnPlateauLR', monitor='loss')]
    train(tmp_path / 'short', 2, schedule=plateau)
    with pytest.raises(ValueError, match='ReduceOnPlateauLR follows a metric and cannot be rebuilt for other settings'):
        train(tmp_path / 'on', 4, schedule=plateau, resume=tmp_path / 'short/epoch_2.pth')
