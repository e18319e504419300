"""Every benchmark runs, at a small size, and says what it measured."""

import importlib
import json
import sys
from pathlib import Path

import mmcv
import numpy as np
import pytest

from tests.integration import forked
from tests.integration.small_run import NARROW, photographs

ROOT = Path(__file__).parents[2]


def run(script, *flags, out, **process):
    line = [sys.executable, ROOT / f'tools/benchmarks/{script}.py', '--repeats', '1', '--json', out, *flags]
    done = forked.run(line, timeout=300, **process)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    figures = json.loads(out.read_text())
    assert figures['title'] in done.stdout and figures['about']['torch'] in done.stdout
    return figures


def test_views(tmp_path):
    figures = run('views', '--count', '4', out=tmp_path / 'views.json')
    for sides in figures['sets'].values():
        assert [side['views'] for side in sides.values()] == [2, 2, 4, 4]
        theirs, *_ = sides.values()
        for side in sides.values():  # of one repeat
            assert side['views_per_second'] == pytest.approx(side['images'] * side['views'] / side['seconds'][0])
            assert side['ratio'] == pytest.approx(side['views_per_second'] / theirs['views_per_second'])
    assert [side['images'] for sides in figures['sets'].values() for side in sides.values()] == [4] * 4 + [1] * 4
    for parts in figures['parts'].values():
        assert [len(seconds) for seconds in parts.values()] == [1] * 7


@pytest.mark.parametrize('shift', [-0.1, -0.03, 0.0, 0.05, 0.1])
def test_hue_is_turned_as_mmcv_does_it_where_numpy_lets_it(shift, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools/benchmarks')
    views = importlib.import_module('views')
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    if shift < 0 and np.lib.NumpyVersion(np.__version__) >= '2.0.0':
        with pytest.raises(OverflowError):
            mmcv.adjust_hue(image, shift, backend='pillow')
    else:
        assert np.array_equal(views.adjust_hue(image, shift), mmcv.adjust_hue(image, shift, backend='pillow'))


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='resident memory is read as Linux gives it')
def test_contrast(tmp_path):
    (side,) = run(
        'contrast', '--batch-sizes', '64', '--queue-len', '8192', '--device', 'cpu', out=tmp_path / 'contrast.json'
    )['sides']
    assert side['relative_deviation'] < 1e-6
    # autograd keeps several of each term's logits, 24 MiB in all; buffers of libraries take 5 MiB on some CPUs
    logits = 12 * 64 * 8193 * 4
    assert side['extra_bytes']['plain'] > 2 * logits
    assert 0 <= side['extra_bytes']['streaming'] < logits / 2


def test_moving_average(tmp_path):
    figures = run('ema', '--device', 'cpu', out=tmp_path / 'ema.json')
    (theirs,), (ours,) = figures['seconds'].values()
    assert figures['ratio'] == pytest.approx(theirs / ours)
    assert figures['weights'] > 23_508_032  # ResNet-50 without its classifier, and the projections


def test_shuffling_ends_with_the_same_images_and_receives_fewer_bytes(tmp_path):
    (side,) = run('shuffle', '--ranks', '3', '--batch-size', '8', out=tmp_path / 'shuffle.json')['sides']
    image = 3 * 224 * 224 * 4
    assert side['equal']
    assert side['bytes']['theirs'] == 2 * 8 * image  # everybody's images
    assert side['bytes']['ours'] <= 8 * image  # its own share


def test_step(tmp_path):
    small = ['--depth', '18', '--batch-size', '2', '--size', '64', '--queue-len', '256', '--device', 'cpu']
    figures = run('step', *small, out=tmp_path / 'step.json')
    assert len(figures['sides']) == 5
    for side in figures['sides'].values():  # one repeat of two images
        assert side['images_per_second'] == pytest.approx(2 / side['seconds'][0])
    assert figures['state_bytes']['per_patch'] < figures['state_bytes']['compact'] < figures['state_bytes']['joint']


def test_parts(tmp_path):
    small = ['--depth', '18', '--batch-size', '4', '--size', '64', '--queue-len', '256', '--device', 'cpu']
    figures = run('parts', *small, '--bn-splits', '2', out=tmp_path / 'parts.json')
    parts = figures['microseconds']
    assert set(parts) == {
        'backbone, queries', 'backbone, keys', 'backbone, backward', 'backward of the rest', 'contrast', 'projections',
        'momentum update', 'queue', 'shuffle', 'preprocessor', 'optimizer', 'other',
    }  # fmt: skip
    assert all(took > 0 for part, took in parts.items() if part != 'other')
    assert parts['other'] < 0.2 * sum(parts.values()) and 0.3 < figures['backbone'] < 1 - figures['ours']


def test_a_forward_step_asks_for_few_operations_whatever_the_batch(tmp_path):
    figures = run('dispatch', '--cfg-options', 'model.backbone.depth=18', out=tmp_path / 'dispatch.json')
    assert list(figures['outside_backbones']) == ['32', '64', '128', '256']
    for images, number in figures['outside_backbones'].items():
        parts = figures['operations'][images]
        assert parts['backbone, queries'] > 100 and parts['contrast'] > 30 and parts['momentum update'] == 1
        assert number <= 500


def report(*flags, expect=0):
    line = [sys.executable, 'tools/benchmarks/report.py', '--sizes', 'tiny', *map(str, flags)]
    done = forked.run(line)
    assert done.returncode == expect, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.mark.slow
def test_the_report_runs_all_of_them_and_ends_with_one_table(tmp_path):
    said = report('--out', tmp_path).stdout
    summary = (tmp_path / 'summary.md').read_text()
    assert said.endswith(summary) and summary.startswith('| goal') and 'nan' not in summary
    assert {path.stem.partition('-')[0] for path in tmp_path.glob('*.json')} == {
        path.stem for path in (ROOT / 'tools/benchmarks').glob('[a-z]*.py')
    } - {'report', 'soak', 'operations'}  # the last needs another environment, with a compiled mmcv


def test_the_report_names_what_it_had_no_time_for(tmp_path):
    done = report('--out', tmp_path, '--minutes', '1e-9', '--only', 'ema', expect=1)
    assert 'ema' in done.stdout and 'out of time' in done.stdout and 'without ema' in done.stderr


@pytest.mark.exhaustive  # runs that go on, and what they leave, are in test_resume.py and test_progress.py
def test_soak(tmp_path):
    images = photographs(tmp_path / 'images', 16)
    narrow = [option for option in NARROW if 'epochs' not in option and 'logger' not in option]
    flags = ['--minutes', '0.1', '--interval', '0.5', '--out', tmp_path / 'soak.png', f'data.root={images}', *narrow]
    flags.append('default_hooks.logger.interval=1')  # a slow machine shows steps within the time as well
    figures = run('soak', *flags, out=tmp_path / 'soak.json', executable=sys.executable)  # whose memory is looked at
    assert figures['exit_code'] == 0 and (tmp_path / 'soak.png').read_bytes().startswith(b'\x89PNG')
    assert len(figures['looks']) > 5 and all(look['main'] > 100 and look['files'] > 3 for look in figures['looks'])
    assert figures['looks'][-1]['rate'] > 0
