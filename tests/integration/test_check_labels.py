"""tools/check_labels.py says what a run would stop at, and writes what it can fix."""

import importlib
import json
import sys

import numpy as np
import pytest
from PIL import Image

from detco_mm.engine.errors import said_in_one_line
from tests.datasets.coco import content, draw, each, write
from tests.integration.small_run import ROOT

MASKS = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'


@pytest.fixture
def check(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    tool = importlib.import_module('check_labels')
    draw(tmp_path / 'images')

    def run(labels, *more):
        path = labels if isinstance(labels, str) else write(tmp_path / 'labels.json', labels)
        monkeypatch.setattr(sys, 'argv', ['check_labels.py', str(path), str(tmp_path / 'images'), *map(str, more)])
        with pytest.raises(SystemExit) as ended, said_in_one_line():
            sys.exit(tool.main(tool.parse()))
        return ended.value.code, capsys.readouterr().out

    return run


def test_sound_labels_end_with_0_a_table_and_a_picture(check, tmp_path):
    code, out = check(content(), '--picture', tmp_path / 'look.png')
    assert code == 0
    assert [line.split() for line in out.splitlines() if 'shark' in line] == [['big', 'shark', *'2 4 4 4 0 0'.split()]]
    picture = np.asarray(Image.open(tmp_path / 'look.png').convert('RGB'))
    assert (np.abs(picture.astype(int) - [230, 159, 0]).max(-1) < 30).sum() > 100  # the first class's boxes


def test_what_a_run_would_stop_at_ends_with_1_and_is_told(check):
    code, out = check(each(lambda found, at: found.update(bbox=[5, 5, 0, 0]) if at < 4 else None))
    assert code == 1 and 'stop: boxes without an area: width or height is 0 or less: 4 (annotation 1 on "tank' in out


def test_a_config_is_compared(check):
    code, out = check(each(lambda found, at: found.pop('segmentation')), ROOT / MASKS)
    assert code == 1 and 'objects without a segmentation: 10' in out and '"fish" (3 objects)' in out


def test_corners_are_rewritten_and_what_has_a_fault_left_out(check, tmp_path):
    def corners(found, at):
        x, y, w, h = found['bbox']
        found['bbox'] = [x, y, x, y] if at == 0 else [x, y, x + w, y + h]

    changed, fixed = each(corners), tmp_path / 'fixed.json'
    code, out = check(changed, '--fixed', fixed, '--boxes', 'xyxy', '--drop')
    assert code == 0, out
    assert [found['bbox'] for found in json.loads(fixed.read_text())['annotations']] == [
        found['bbox'] for found in content()['annotations'][1:]
    ]
    assert json.loads((tmp_path / 'labels.json').read_text()) == changed
    assert check(str(fixed))[0] == 0


def test_what_cannot_be_read_is_one_line(check, tmp_path):
    code, _ = check(str(tmp_path / 'none.json'))
    assert code == f'FileNotFoundError: no file at "{tmp_path}/none.json": check the path'
    (tmp_path / 'half.json').write_text('{"images": [')
    assert 'half.json" is no JSON: it ends in the middle' in check(str(tmp_path / 'half.json'))[0]
    assert 'no config at "none.py"' in check(content(), 'none.py')[0]
