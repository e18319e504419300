"""The demo: its plan, and the whole of it on a few images."""

import sys
from pathlib import Path

import pytest

from detco_mm.experiments import demo
from tests.integration.forked import python

ROOT = Path(__file__).resolve().parents[2]


def test_every_size_forecasts_every_step_after_what_it_needs(tmp_path):
    for size, spec in demo.SIZES.items():
        steps = demo.plan(size, 0, tmp_path, ROOT)
        names = [step.name for step in steps]
        assert {step.name: step.seconds for step in steps} == spec['seconds']
        assert all(need in names[:at] for at, step in enumerate(steps) for need in step.needs)
        (pretrain,) = (step for step in steps if step.name == 'pretrain')
        assert pretrain.iterations == spec['epochs'] * (spec['data']['unlabelled'] // 32)  # the config's batch


@pytest.mark.slow
def test_the_whole_demo_ends_with_a_table_and_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'executable', python())
    few = dict(data={'unlabelled': 64, 'train': 8, 'val': 4, 'test': 0}, epochs=1, finetune_iters=4)
    monkeypatch.setitem(demo.SIZES, 'small', {**demo.SIZES['small'], **few})
    line = ('small', 0, tmp_path / 'demo', ROOT, str(tmp_path / 'embedded'))
    demo.run(*line)
    said = capsys.readouterr().out
    assert '4 steps, about' in said and 'random init' in said and 'DetCo' in said
    report = (tmp_path / 'demo/report.html').read_text()
    assert report.count('<img') >= 4 and 'box AP' in report
    demo.run(*line)
    assert capsys.readouterr().out.count('done before') == 3
