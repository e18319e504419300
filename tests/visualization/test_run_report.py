"""The page of a pre-training: finished, interrupted, or just begun."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config

from detco_mm.engine.hooks import WriteReport
from detco_mm.visualization import run_report
from detco_mm.visualization.run_report import write_report
from tests.engine.hooks.runs import build, log
from tests.integration.small_run import photographs


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A work dir of two epochs of two steps, and its images."""
    folder = tmp_path_factory.mktemp('run')
    images = photographs(folder / 'images', 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TEST_REPORTS', '1')
        build(images, folder / 'run', []).train()
    return folder / 'run', images


def headings(page):
    return re.findall('<h[12]>(.*?)</h', page)


def test_a_finished_run_has_left_its_page(run):
    page = (run[0] / 'report.html').read_text()
    assert headings(page) == [f'Pre-training in {run[0]}', 'Loss and accuracy', 'Views', 'Similarity', 'With']
    assert 'finished' in page and 'DetCo with ResNet 18' in page and 'iter_4.pth' in page
    assert 'images a second' in page and page.count('data:image/jpeg') == 3
    assert len(page) < 2_000_000 and set(re.findall('(?:src|href)="([^"]{0,5})', page)) == {'data:'}
    assert f'report: {run[0] / "report.html"}, written in ' in log(run[0])


def test_of_an_interrupted_run_it_shows_what_there_is_and_says_what_is_missing_and_why(run, tmp_path):
    work = tmp_path / 'begun'
    (work / '20260101_000000/vis_data').mkdir(parents=True)
    (work / 'detco.py').write_text(next(run[0].glob('*.py')).read_text())
    np.random.seed(7)
    expected = np.random.random()
    np.random.seed(7)
    page = write_report(work).read_text()
    assert np.random.random() == expected, 'drawing views leaves random numbers where they were'
    assert headings(page)[1:] == ['Views', 'Left out', 'With']
    assert 'no step has been logged yet' in page and 'the run has left no checkpoint yet' in page
    assert 'still going, or interrupted; 0 steps are logged' in page
    row = dict(loss=3.0, loss_g2g_res5=1.0, step=1, time=0.5)
    half = '{"loss": 2.9, "st'
    (work / '20260101_000000/vis_data/scalars.json').write_text(json.dumps(row) + '\n' + half)
    (work / '20260101_000000/run.json').write_text(json.dumps(dict(steps=40, batch=8, shown=['/gone.jpg'])))
    page = write_report(work).read_text()
    assert headings(page)[1:] == ['Loss and accuracy', 'Left out', 'With']
    assert '1 steps of 40 are logged' in page and '16 images a second' in page and '/gone.jpg' in page


def test_a_page_that_cannot_be_written_is_one_line_and_the_run_is_finished(monkeypatch, tmp_path):
    said = []
    monkeypatch.setenv('TEST_REPORTS', '1')
    monkeypatch.setattr(run_report, 'write_report', lambda work_dir: 1 / 0)
    runner = SimpleNamespace(iter=4, max_iters=4, work_dir=tmp_path, log_dir=tmp_path)
    runner.logger = SimpleNamespace(warning=said.append, info=said.append)
    hook = WriteReport()
    hook._notes = dict(finished=False)
    hook.after_run(runner)
    assert said == ['report.html could not be written: division by zero']


def test_a_config_switches_it_off_and_a_folder_that_is_no_run_is_named(tmp_path):
    assert Config.fromfile('configs/mini/detco_r18.py').default_hooks.report.type == 'detco_mm.WriteReport'
    with pytest.raises(ValueError, match='is no run: it holds no'):
        write_report(tmp_path)
