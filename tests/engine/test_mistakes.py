"""What a user gets wrong ends every tool with one line that names it, before the first step."""

import importlib
import json
import sys

import pytest

from detco_mm.engine.errors import said_in_one_line
from detco_mm.engine.mistakes import explain, read_config
from tests.integration import layouts
from tests.integration.small_run import CONFIG, NARROW, ROOT, photographs

DETECTOR = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 12)


@pytest.fixture
def said(images, tmp_path, monkeypatch, capfd):
    """Run tools/train.py in this process; return what it ends with."""
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    command_line, training = (importlib.import_module(name) for name in ('_command_line', '_training'))

    def run(*options, config=ROOT / CONFIG, flags=(), scope='mmselfsup'):
        given = [*([f'data.root={images}', *NARROW] if scope == 'mmselfsup' else []), *options]
        line = ['train.py', config, '--work-dir', tmp_path / 'run', *flags, '--cfg-options', *given]
        monkeypatch.setattr(sys, 'argv', list(map(str, line)))
        with pytest.raises(SystemExit) as ended:
            training.main(command_line.parse(scope))
        text = str(ended.value)
        assert '\n' not in text and not list((tmp_path).glob('run/*.pth'))
        return text

    return run


SETTINGS = {
    'train_dataloader.batch_size=0': 'train_dataloader.batch_size=0: it is a whole number, 1 or more',
    'train_dataloader.batch_size=-4': 'train_dataloader.batch_size=-4: it is a whole number, 1 or more',
    'train_dataloader.batch_size=four': "train_dataloader.batch_size='four': it is a whole number, 1 or more",
    'train_dataloader.batch_size=2.5': 'train_dataloader.batch_size=2.5: it is a whole number, 1 or more',
    'train_dataloader.batch_size=16': '12 images make no batch of 16: lower train_dataloader.batch_size',
    'train_dataloader.num_workers=-1': 'train_dataloader.num_workers=-1: it is a whole number, 0 or more',
    'train_dataloader.num_workers=True': 'train_dataloader.num_workers=True: it is a whole number',
    'train_cfg.max_epochs=0': 'train_cfg.max_epochs=0: it is a whole number, 1 or more',
    'max_epochs=0': 'train_cfg.max_epochs=0: it is a whole number, 1 or more',
    'train_cfg.max_iters=5': 'max_epochs=3 and max_iters=5: a run counts one or the other',
    'optim_wrapper.optimizer.lr=0': 'optim_wrapper.optimizer.lr=0: it is a number above 0',
    'optim_wrapper.optimizer.lr=fast': "optim_wrapper.optimizer.lr='fast': it is a number above 0",
    'randomness.seed=-1': 'randomness.seed=-1: it is a whole number, 0 or more',
    'model.backbone.type=ResNt': "type='ResNt' is no model of mmselfsup; the nearest is 'ResNet'",
    'model.neck.type=detco_mm.DetCoNek': 'DetCoNeck',
    'optim_wrapper.optimizer.type=SDG': "type='SDG' is no optimizer",
    'model.backbone.depth=19': 'the run cannot be built from its config: KeyError: invalid depth 19 for resnet',
    'data.root=/no/such/folder': 'no image folder at "/no/such/folder/"',
    'data.ann_file=list.txt': 'no annotation file at',
    'load_from=none.pth': 'no checkpoint at "none.pth"',
}


@pytest.mark.parametrize('option', SETTINGS)
def test_a_setting_that_cannot_be(option, said):
    assert SETTINGS[option] in said(option)


def test_three_images_and_a_batch_of_four(said, tmp_path):
    few = photographs(tmp_path / 'few', 3)
    assert '3 images make no batch of 4: lower train_dataloader.batch_size' in said(f'data.root={few}')


def test_an_empty_folder(said, tmp_path):
    (tmp_path / 'empty').mkdir()
    assert 'no image in' in said(f'data.root={tmp_path}/empty')


def test_a_work_dir_that_is_a_file(said, tmp_path):
    (tmp_path / 'run').write_text('')
    assert f'{tmp_path}/run is no folder; give another --work-dir' in said()


def test_a_work_dir_below_a_file(said, tmp_path):
    (tmp_path / 'file').write_text('')
    assert f'{tmp_path}/file is no folder' in said(flags=['--work-dir', tmp_path / 'file/run'])


def test_a_checkpoint_to_resume_that_does_not_exist(said):
    assert 'no checkpoint at "none.pth"' in said(flags=['--resume', 'none.pth'])


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A detection set of a few scenes, and files that are no annotations beside it."""
    folder = tmp_path_factory.mktemp('scenes')
    root = layouts.embedded(folder / 'data', train=4, val=2)
    (root / 'broken.json').write_text('{"images": [')
    (root / 'binary.json').write_bytes(b'\xff\xfe\x00{')
    content = json.loads((root / 'annotations/instances_train.json').read_text())
    (root / 'empty.json').write_text(json.dumps({**content, 'images': [], 'annotations': []}))
    return root


DETECTION = {
    'train_dataloader.dataset.ann_file=none.json': 'none.json" (train_dataloader.dataset.ann_file): No such file',
    'train_dataloader.dataset.ann_file=broken.json': 'broken.json" (train_dataloader.dataset.ann_file) is no JSON',
    'train_dataloader.dataset.ann_file=binary.json': 'binary.json" (train_dataloader.dataset.ann_file) is no JSON',
    'train_dataloader.dataset.ann_file=empty.json': 'no image left',
    'train_dataloader.dataset.ann_file=annotations': 'Is a directory',
    'train_dataloader.dataset.metainfo.classes=(a,b)': 'no image left',
    'val_evaluator.metric=[bboxx]': "metric should be one of 'bbox'",
    'param_scheduler.1.milestones=5': 'the run cannot be built from its config',
    'model.type=MaskRCN': "type='MaskRCN' is no model of mmdet; the nearest is 'MaskRCNN'",
}


@pytest.mark.parametrize('option', DETECTION)
def test_a_detectors_data_and_settings(option, said, scenes):
    options = [
        f'{part}_dataloader.{name}'
        for part in ('train', 'val')
        for name in (f'dataset.data_root={scenes}/', 'num_workers=0')
    ]
    options.append(f'val_evaluator.ann_file={scenes}/annotations/instances_val.json')
    option = option.replace('=', f'={scenes}/') if '.ann_file' in option else option
    text = said(*options, option, config=ROOT / DETECTOR, scope='mmdet')
    assert DETECTION[option.replace(f'{scenes}/', '')] in text


CONFIGS = {
    'a = (': 'line 1',
    '_base_ = "nothing.py"': 'nothing.py',
    'a = b': "name 'b' is not defined",
    '_base_ = 5': '',
    'custom_imports = dict(imports=["no_such_module"])': 'no_such_module',
    '\0': '',
}


@pytest.mark.parametrize('content', CONFIGS)
def test_a_config_that_cannot_be_read(content, said, tmp_path):
    (tmp_path / 'config.py').write_text(content)
    text = said(config=tmp_path / 'config.py')
    assert f'config "{tmp_path}/config.py"' in text and CONFIGS[content] in text


def test_a_config_of_something_else(said, tmp_path):
    (tmp_path / 'config.py').write_text('data = dict(root=1)\nvalue = 5\n')
    assert 'the config has no optim_wrapper: give one of a run' in said(config=tmp_path / 'config.py')


@pytest.mark.parametrize('name', ['config.txt', 'folder', 'none.py'])
def test_a_config_that_is_none(name, tmp_path):
    (tmp_path / 'config.txt').write_text('a = 1')
    (tmp_path / 'folder').mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        read_config(tmp_path / name)


def test_the_trace_is_shown_to_who_asks_for_it(monkeypatch):
    with pytest.raises(SystemExit, match='ValueError: 3'), said_in_one_line():
        raise ValueError(3)
    monkeypatch.setenv('DETCO_TRACEBACK', '1')
    with pytest.raises(ValueError), said_in_one_line():
        raise ValueError(3)


def test_a_bug_keeps_its_trace():
    for bug in (RuntimeError('?'), AttributeError('?'), IndexError('?'), TypeError('?'), KeyError('mask')):
        assert explain(bug) is None
        with pytest.raises(type(bug)), said_in_one_line():
            raise bug


@pytest.mark.parametrize(
    ('error', 'words'),
    [
        (PermissionError(13, 'Permission denied', 'a/b'), 'PermissionError: "a/b": Permission denied'),
        (IsADirectoryError(21, 'Is a directory', 'a'), 'IsADirectoryError: "a": Is a directory'),
        (ModuleNotFoundError("No module named 'mmdet'"), 'make setup installs'),
        (RuntimeError('DataLoader worker (pid 7) is killed by signal: Bus error. It is possible'), 'Bus error'),
        (TypeError("class `ResNet` in a.py: ResNet.__init__() got an unexpected keyword argument 'dpth'"), '"dpth"'),
    ],
)
def test_what_others_raise_for_a_users_reason_is_said_in_one_line(error, words):
    assert words in explain(error) and '\n' not in explain(error)


def test_an_error_of_a_data_worker_is_told_without_its_trace():
    from torch._utils import ExceptionWrapper

    try:
        raise ValueError('3 bands\nand no 4')
    except ValueError:
        with pytest.raises(ValueError) as caught:
            ExceptionWrapper(where='in DataLoader worker process 0').reraise()
    assert explain(caught.value) == 'ValueError in a data worker: 3 bands and no 4'


TOOLS = {
    'export_backbone.py': ['none.pth', 'out.pth'],
    'eval_frozen.py': ['none.py'],
    'probe.py': ['none.py', 'none.pth', '--ann', 'none.json', '--images', 'x'],
    'verdict.py': ['--start', 'none.pth', '--end', 'none.pth', '--finetune', 'none.py'],
    'eval_knn.py': ['none.py'],
    'eval_svm.py': ['none.py'],
    'split_coco.py': ['none.json', '--out', 'out', '--percents', '10'],
    'det_test.py': ['none.py', 'none.pth'],
    'visualize.py': ['none.py', '--images', 'x.jpg', '--checkpoints', 'random', '--out', 'out'],
}


@pytest.mark.parametrize('tool', TOOLS)
def test_every_tool_names_a_file_that_does_not_exist(tool, tmp_path, monkeypatch, capsys):
    import runpy

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    monkeypatch.setattr(sys, 'argv', [tool, *TOOLS[tool]])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    assert 'none.' in str(ended.value) and 'FileNotFoundError' in str(ended.value)
