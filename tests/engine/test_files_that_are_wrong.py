"""Paths and files of another kind than is expected, and settings of another type: one line before the first step."""

import os
import runpy
import sys

import pytest
import torch

from tests.engine.test_mistakes import DETECTOR, images, said, scenes  # noqa: F401  (fixtures)
from tests.integration.small_run import CONFIG, ROOT, photographs

SETTINGS = {
    'data.channels=three': "channels='three': it is the number of channels",
    'data.channels=3.5': 'channels=3.5: it is the number of channels',
    'data.bands=red': "bands='red': name at least one band",
    'data.bands=3': 'bands=3: name at least one band',
    'data.value_range=5': 'value_range=5: write (low, high)',
    'data.value_range=auto': "value_range='auto': write (low, high)",
    'data.percentiles=98': 'data.percentiles=98: write (low, high)',
    'data.nodata=[1,2]': 'nodata=[1, 2]: it is the number',
    'data.held_out=5': 'data.held_out=5: name COCO jsons',
    'data.root=~/no/such': f'no image folder at "{os.path.expanduser("~")}/no/such/"',
    'data.root=images/*.jpg': 'and patterns are not expanded: set data.root',
    f'data.root={__file__}': 'which is a file; a list of images goes into data.ann_file',
    'optim_wrapper.optimizer.lr=nan': 'optim_wrapper.optimizer.lr=nan: it is a number above 0',
    'optim_wrapper.optimizer.lr=inf': 'optim_wrapper.optimizer.lr=inf: it is a number above 0',
    'train_dataloader.num_workers=100000': '100000 data workers share',
    'train_dataloader.dataset.pipeline=[]': 'train_dataloader.dataset.pipeline is empty',
}


@pytest.mark.parametrize('option', SETTINGS)
def test_a_setting_of_another_kind(option, said):  # noqa: F811
    assert SETTINGS[option] in said(option)


@pytest.mark.parametrize('content', [b'', b'version https://git-lfs.github.com/spec/v1\n', b'<html>403</html>'])
def test_a_folder_of_files_that_are_no_images(content, said, tmp_path):  # noqa: F811
    folder = tmp_path / 'folder'
    folder.mkdir()
    for at in range(5):
        (folder / f'{at}.jpg').write_bytes(content)
    assert 'none of the 5 images that were looked at, out of 5, can be decoded; of' in said(f'data.root={folder}')


@pytest.mark.parametrize('how', ['--resume', '--from', 'load_from'])
@pytest.mark.parametrize('kind', ['cut', 'tensor', 'pointer', 'folder'])
def test_a_checkpoint_that_is_none(how, kind, said, tmp_path):  # noqa: F811
    path = tmp_path / 'a.pth'
    if kind == 'folder':
        path.mkdir()
    elif kind == 'pointer':
        path.write_bytes(b'version https://git-lfs.github.com/spec/v1\n')
    else:
        torch.save(torch.zeros(3000) if kind == 'tensor' else dict(state_dict={}), path)
        if kind == 'cut':
            path.write_bytes(path.read_bytes()[:-200])
    text = said(f'load_from={path}') if how == 'load_from' else said(flags=[how, path])
    assert str(path) in text and text.count(str(path)) == 1
    assert {'pointer': 'git lfs pull', 'tensor': 'a Tensor', 'folder': 'no checkpoint at'}.get(kind, 'a.pth') in text


def test_links_in_a_circle_and_to_nothing_are_no_images(tmp_path):
    from detco_mm.datasets import ImageFolder

    folder = photographs(tmp_path / 'a', 2)
    (folder / 'self.jpg').symlink_to('self.jpg')
    (folder / 'gone.jpg').symlink_to('/no/such/file.jpg')
    (folder / 'again').symlink_to(folder)
    assert len(ImageFolder(str(folder))) == 2


def test_a_metric_that_is_not_measured(said, scenes):  # noqa: F811
    roots = [f'{part}_dataloader.dataset.data_root={scenes}/' for part in ('train', 'val')]
    roots.append(f'val_evaluator.ann_file={scenes}/annotations/instances_val.json')
    option = 'default_hooks.checkpoint.save_best=coco/bbox_mapp'
    text = said(*roots, option, config=ROOT / DETECTOR, scope='mmdet')
    assert "default_hooks.checkpoint.save_best='coco/bbox_mapp'" in text and "the nearest is 'coco/bbox_mAP'" in text


SEED, NO_FOLDER = 'seed -1: it is a whole number', 'is no folder; give another --work-dir'
TOOLS = {
    'demo.py': {
        '--seed -1': 'seed -1: it is a whole number',
        '--work-dir FILE': NO_FOLDER,
    },
    'benchmark_mini.py': {'--seeds -1': SEED, '--work-dir FILE': 'is no folder'},
    'det_report.py': {'/nowhere': 'nothing was logged in "/nowhere"', 'a b c d e f': '6 runs: at most 5'},
    'report.py': {'/nowhere': '"/nowhere" is no run'},
    'draw_method.py': {'FOLDER --seed 1': 'Is a directory', 'x.png --seed -1': SEED},
    'make_data.py': {'FILE': 'FILE'},
    'split_coco.py': {'FILE': 'is no JSON', 'FOLDER': 'no annotations at'},
    'visualize.py': {
        f'{CONFIG} --images FOLDER': 'is a folder',
        f'{CONFIG} --images FILE': 'it is no image in a format',
    },
    'eval_frozen.py': {
        f'{CONFIG} --size 0': '--size 0: it is the side',
        f'{CONFIG} --data FOLDER': 'no file at',
    },
    'probe.py': {
        f'{CONFIG} random --ann FILE --images FOLDER': 'is no JSON',
        f'{CONFIG} FILE --ann FILE --images FOLDER': 'not a checkpoint that loads safely',
    },
    'verdict.py': {
        f'--start random --end FILE --finetune {DETECTOR}': 'not a checkpoint that loads safely',
        f'--start random --end random --finetune {DETECTOR} --share 10': '--share without --data',
        f'--start random --end random --finetune {DETECTOR} --work-dir FILE': NO_FOLDER,
    },
    'ablate.py': {
        f'{CONFIG} --finetune {DETECTOR} --seeds -1': SEED,
        f'{CONFIG} --finetune {DETECTOR} --work-dir FILE': NO_FOLDER,
        f'{CONFIG} --finetune {DETECTOR} --against nobody --work-dir FOLDER/w': '"nobody" is no start of this study',
        f'{CONFIG} --finetune {DETECTOR} --shares 0': '--shares 0: it is percent',
        f'FILE --finetune {DETECTOR}': 'cannot be read',
        f'--finetune {DETECTOR} --work-dir FOLDER/w': 'nothing to compare',
        f'{CONFIG} --finetune {DETECTOR} --weights a=FILE': 'not a checkpoint that loads safely',
    },
    'check_images.py': {'FILE': 'which is a file', 'FOLDER --against FILE': 'no image'},
    'make_tiles.py': {'/nowhere FOLDER/out': 'no image folder at'},
}


@pytest.mark.parametrize(('tool', 'line'), [(tool, line) for tool, lines in TOOLS.items() for line in lines])
def test_a_tool_ends_in_one_line(tool, line, tmp_path, monkeypatch):
    file, folder = tmp_path / 'FILE', tmp_path / 'FOLDER'
    file.write_text('no json')
    folder.mkdir()
    given = [part.replace('FILE', str(file)).replace('FOLDER', str(folder)) for part in line.split()]
    given = [str(ROOT / part) if part.startswith('configs/') else part for part in given]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    monkeypatch.setattr(sys, 'argv', [tool, *given])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    assert TOOLS[tool][line] in str(ended.value) and '\n' not in str(ended.value)
