"""The demo's orchestration: what it changes in a config, and how a step that fails ends it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / 'tools' / 'demo.py'


@pytest.fixture(scope='module')
def demo():
    spec = importlib.util.spec_from_file_location('detco_demo', PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_size_forecasts_every_step_after_what_it_needs(demo, tmp_path):
    for size, spec in demo.SIZES.items():
        steps = demo.plan(size, 0, tmp_path)
        names = [step.name for step in steps]
        assert {step.name: step.seconds for step in steps} == spec['seconds']
        assert all(need in names[:at] for at, step in enumerate(steps) for need in step.needs)
        (pretrain,) = (step for step in steps if step.name == 'pretrain')
        assert pretrain.iterations == spec['epochs'] * (spec['data']['unlabelled'] // 32)  # the config's batch


def test_the_whole_demo_ends_with_a_table_and_a_report(tmp_path):
    shrunk = """
import sys
sys.path.insert(0, 'tools')
import demo
demo.DATA_FOLDER = sys.argv.pop(1)
demo.SIZES['small'].update(
    data={'unlabelled': 64, 'train': 8, 'val': 4, 'test': 0}, epochs=1, finetune_iters=4)
demo.main()
"""
    line = [sys.executable, '-c', shrunk, str(tmp_path / 'embedded'), '--work-dir', str(tmp_path / 'demo')]
    first = subprocess.run(line, cwd=PATH.parents[1], capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    assert '5 steps, about' in first.stdout and 'random init' in first.stdout and 'DetCo' in first.stdout
    report = (tmp_path / 'demo/report.html').read_text()
    assert report.count('<img') >= 4 and 'box AP' in report
    again = subprocess.run(line, cwd=PATH.parents[1], capture_output=True, text=True)
    assert again.returncode == 0 and again.stdout.count('done before') == 4
