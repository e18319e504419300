"""Scalars and progress, read from files as MMEngine writes them."""

import pytest

from detco_mm.visualization.progress import Forecast, clock, fraction_done, tail, total_steps
from detco_mm.visualization.scalars import evaluations, last_metrics, read_rows, series, training_rows

TEXT = """\
{"lr": 0.03, "data_time": 0.01, "loss": 8.5, "loss_g2g_res5": 4.0, "acc_g2g_res5": 1.5, "time": 0.5, "iter": 10, "step": 10}
{"lr": 0.03, "data_time": 0.01, "loss": NaN, "loss_g2g_res5": 3.5, "time": 0.5, "iter": 20, "step": 20}
{"coco/bbox_mAP": 0.021, "coco/bbox_mAP_50": 0.06, "coco/segm_mAP": 0.02, "time": 0.1, "step": 20}
{"coco/bbox_mAP": 0.034, "coco/bbox_mAP_50": 0.09, "coco/segm_mAP": 0.03, "time": 0.1, "step": 40}
{"loss": 7.0, "ti"""  # noqa: E501  as written, and cut off in the middle of a line


@pytest.fixture
def work_dir(tmp_path):
    for stamp, text in (('20260101_000000', '{"loss": 9.9, "step": 5}\n'), ('20260102_000000', TEXT)):
        folder = tmp_path / stamp / 'vis_data'
        folder.mkdir(parents=True)
        (folder / 'scalars.json').write_text(text)
    return tmp_path


def test_the_newest_run_is_read_and_its_half_written_line_passed_over(work_dir):
    rows = read_rows(work_dir)
    assert len(rows) == 4 and rows[0]['loss'] == 8.5
    assert read_rows(work_dir, newest_only=False)[0]['loss'] == 9.9


def test_a_run_that_logged_nothing_has_no_rows(tmp_path):
    assert read_rows(tmp_path) == []
    assert fraction_done(tmp_path, 100) == 0


def test_training_and_evaluation_are_told_apart(work_dir):
    rows = read_rows(work_dir)
    assert [row['step'] for row in training_rows(rows)] == [10, 20]
    assert last_metrics(rows) == {'bbox_mAP': 0.034, 'bbox_mAP_50': 0.09, 'segm_mAP': 0.03}


def test_a_series_holds_only_steps_at_which_it_was_logged(work_dir):
    assert series(read_rows(work_dir), 'acc_g2g_res5') == ([10.0], [1.5])


def test_missing_metrics_are_named_in_the_error():
    with pytest.raises(ValueError, match=r'coco/\*'):
        last_metrics([{'loss': 1.0, 'step': 1}])


def test_the_share_done_is_the_last_logged_step_of_all(work_dir):
    assert fraction_done(work_dir, 80) == 0.25
    assert fraction_done(work_dir, 10) == 1


def test_iterations_follow_from_epochs_and_batches_or_are_stated():
    loader = {'batch_size': 32}
    assert total_steps({'train_cfg': {'max_epochs': 3}, 'train_dataloader': loader}, 100) == 12
    assert total_steps({'train_cfg': {'max_epochs': 3}, 'train_dataloader': {**loader, 'drop_last': True}}, 100) == 9
    assert total_steps({'train_cfg': {'max_iters': 70}, 'train_dataloader': loader}, 100) == 70


def test_the_forecast_starts_from_the_plan():
    assert Forecast([10, 20, 30]).left() == 60


def test_a_slow_step_slows_the_forecast_of_the_others():
    forecast = Forecast([10, 20, 30], trust=0)
    forecast.finish(20)
    assert forecast.left() == pytest.approx(100)


def test_a_short_first_step_does_not_decide():
    forecast = Forecast([10, 300], trust=60)
    forecast.finish(20)
    assert forecast.left() == pytest.approx(300 * 80 / 70)


def test_a_step_in_progress_counts_by_its_share():
    # A quarter of 20 s was planned to take 5 s and took 10 s: twice the plan for the rest, and for the step after it.
    forecast = Forecast([10, 20, 30], trust=0)
    forecast.finish(None)
    assert forecast.left(elapsed=10, fraction=0.25) == pytest.approx(30 + 60)


def test_nothing_is_left_at_the_end_and_never_less_than_nothing():
    forecast = Forecast([10])
    assert forecast.left(elapsed=50) == 0
    forecast.finish(50)
    assert forecast.left() == 0


@pytest.mark.parametrize(('seconds', 'text'), [(0, '0:00'), (61.4, '1:01'), (3725, '1:02:05'), (-3, '0:00')])
def test_a_clock_shows_minutes_and_hours(seconds, text):
    assert clock(seconds) == text


def test_the_tail_of_a_log_has_no_terminal_colours(tmp_path):
    log = tmp_path / 'step.log'
    log.write_text('one\ntwo\n\x1b[31mthree\x1b[0m\n')
    assert tail(log, 2) == 'two\nthree'
    assert tail(tmp_path / 'none.log') == ''


def test_of_a_resumed_step_only_the_rest_counts():
    forecast = Forecast([100, 50], trust=1e-9)
    forecast.begin(0.8)
    # 20 planned seconds are left of it, of which a quarter took 10: twice as slow as planned
    assert forecast.left(10, 0.25) == pytest.approx(2 * 15 + 2 * 50)


@pytest.mark.parametrize(('extra', 'unit'), [({'iter': 2}, 'iteration'), ({'iter': 2, 'epoch': 1}, 'epoch')])
def test_evaluations_stand_at_what_the_run_counts(extra, unit):
    rows = [
        {'loss': 1.0, 'step': 2, **extra},
        {'coco/bbox_mAP': 0.1, 'mIoU': 3, 'time': 0.1, 'data_time': 0.1, 'step': 2},
        {'coco/bbox_mAP': 0.2, 'step': 4},
    ]
    assert evaluations(rows) == {f'{unit} 2': {'coco/bbox_mAP': 0.1, 'mIoU': 3.0}, f'{unit} 4': {'coco/bbox_mAP': 0.2}}
