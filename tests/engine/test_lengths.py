"""Schedules follow the length of a run, in a line of the log, and are looked at before the first step."""

import copy

import pytest
from mmengine.config import Config

import detco_mm.engine.lengths as lengths
from detco_mm.engine.lengths import check_lengths
from detco_mm.engine.settings import apply_command_line

STAGES = [dict(type='MultiStepLR', milestones=[60, 80], end=100)]
WARM_UP = [dict(type='LinearLR', by_epoch=True, begin=0, end=10), dict(type='CosineAnnealingLR', T_max=90, begin=10)]
YOLOX = [
    dict(type='QuadraticWarmupLR', end=5),
    dict(type='CosineAnnealingLR', begin=5, T_max=85, end=85),
    dict(type='ConstantLR', factor=1, begin=85, end=100),
]
FIRST = dict(type='LinearLR', by_epoch=False, begin=0, end=500)


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(lengths, 'print_log', lambda text, **_: lines.append(text))
    return lines


def config(schedules, **lengths):
    sections = dict(train_dataloader=dict(dataset=dict(data_root='a')), model={}, optim_wrapper={})
    return Config(dict(sections, train_cfg=lengths, param_scheduler=copy.deepcopy(schedules)))


def places(cfg):
    names = ('begin', 'end', 'T_max', 'milestones')
    return [{name: one[name] for name in names if name in one} for one in cfg.param_scheduler]


@pytest.mark.parametrize(
    ('schedules', 'epochs', 'expected'),
    [
        (STAGES, 50, [dict(milestones=[30, 40])]),
        (STAGES, 200, [dict(milestones=[120, 160])]),
        (STAGES, 1, [dict(milestones=[1, 1])]),
        (WARM_UP, 200, [dict(begin=0, end=10), dict(begin=10)]),
        (WARM_UP, 50, [dict(begin=0, end=5), dict(begin=5)]),
        (YOLOX, 20, [dict(end=1), dict(begin=1, T_max=17, end=17), dict(begin=17)]),
        (YOLOX, 200, [dict(end=5), dict(begin=5, T_max=170, end=170), dict(begin=170)]),
        ([FIRST, *STAGES], 50, [dict(begin=0, end=500), dict(milestones=[30, 40])]),
    ],
)
def test_another_number_of_epochs_stretches_the_schedule_and_says_so(schedules, epochs, expected, said):
    cfg = config(schedules, by_epoch=True, max_epochs=100)
    apply_command_line(cfg, {'train_cfg.max_epochs': epochs})
    assert places(cfg) == expected
    moved = any(
        places(cfg)[at].get(name) not in (None, one.get(name)) for at, one in enumerate(schedules) for name in one
    )
    assert len(said) == moved and all(f'max_epochs 100 -> {epochs}' in line for line in said)


def test_so_does_another_number_of_iterations(said):
    cfg = config([FIRST, dict(STAGES[0], by_epoch=False, milestones=[6000, 8000], end=9000)], max_iters=9000)
    apply_command_line(cfg, {'train_cfg.max_iters': 900})
    assert places(cfg) == [dict(begin=0, end=50), dict(milestones=[600, 800])]
    assert 'param_scheduler.1.milestones [6000, 8000] -> [600, 800]' in said[0]


def test_what_is_set_as_well_stays(said):
    cfg = config(STAGES, max_epochs=100)
    apply_command_line(cfg, {'train_cfg.max_epochs': 50, 'param_scheduler.0.milestones': [20, 45]})
    assert places(cfg) == [dict(milestones=[20, 45])] and not said


def test_the_same_length_changes_nothing(said):
    cfg = config(YOLOX, max_epochs=100)
    apply_command_line(cfg, {'train_cfg.max_epochs': 100})
    assert places(cfg) == places(config(YOLOX)) and not said


@pytest.mark.parametrize(
    ('schedules', 'words'),
    [
        (STAGES, 'param_scheduler.0.milestones=[60, 80] of 12 epochs'),
        (WARM_UP, 'param_scheduler.1.T_max=90 of 12 epochs'),
        (YOLOX, 'param_scheduler.2.begin=85 of 12 epochs'),
        ([FIRST], 'param_scheduler.0.end=500 of 120 steps'),
    ],
)
def test_a_schedule_that_goes_beyond_the_run_is_named(schedules, words, said):
    check_lengths(config(schedules, max_epochs=12), 10)
    assert words in said[0] and len(said) == 1


@pytest.mark.parametrize('schedules', [STAGES, WARM_UP, YOLOX, [FIRST], None])
def test_one_that_fits_is_not(schedules, said):
    check_lengths(config(schedules, max_epochs=100), 10)
    assert not said


def test_a_schedule_after_a_metric_without_an_evaluation_stops():
    with pytest.raises(ValueError, match='ReduceOnPlateauLR follows a metric, and nothing is evaluated: set val_data'):
        check_lengths(config([dict(type='ReduceOnPlateauLR')], max_epochs=2), 10)
