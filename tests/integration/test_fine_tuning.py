"""What is left of a fine-tuning run to look at: scalars for TensorBoard, a table of AP by checkpoint, a page."""

import json
import os
import re
import sys
import time

import pytest
import torch

pytest.importorskip('mmcv.ops')
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from detco_mm.checkpoints.reading import load_checkpoint
from detco_mm.engine import launch
from detco_mm.engine.options import read_options
from tests.integration import forked, layouts
from tests.integration.small_run import ROOT

CONFIG = 'configs/mini/mask-rcnn_r18_fpn_embedded.py'


def ran(*line):
    done = forked.run([sys.executable, *line])
    assert done.returncode == 0, f'{done.stdout[-2000:]}\n{done.stderr[-3000:]}'
    return done.stdout


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run of four iterations with two checkpoints, and the options that lead its config to small data."""
    folder = tmp_path_factory.mktemp('fine-tuning')
    root = layouts.embedded(folder / 'data', train=4, val=2)
    options = ['--cfg-options']
    for part, split in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        options += [f'{part}_dataloader.dataset.data_root={root}/', f'{part}_dataloader.num_workers=0']
        options.append(f'{part}_dataloader.persistent_workers=False')
        if part == 'test':
            options.append('test_dataloader.dataset.ann_file=annotations/instances_val.json')
            options.append('test_dataloader.dataset.data_prefix.img=val/')
        if part != 'train':
            options.append(f'{part}_evaluator.ann_file={root}/annotations/instances_{split}.json')
    training = ['train_dataloader.batch_size=2', 'train_cfg.max_iters=4', 'train_cfg.val_interval=2']
    training += [
        'default_hooks.checkpoint.interval=2',
        'default_hooks.checkpoint.max_keep_ckpts=2',
        'default_hooks.logger.interval=1',
    ]
    tracker = ['--tracker', 'tensorboard']
    os.environ['TEST_REPORTS'] = '1'
    ran('tools/det_train.py', CONFIG, '--work-dir', folder / 'run', *tracker, *options, *training)
    del os.environ['TEST_REPORTS']
    return folder / 'run', options


@pytest.mark.gpu
def test_tensorboard_has_losses_and_ap(run):
    (events,) = run[0].glob('*/vis_data/events*')
    scalars = EventAccumulator(str(events)).Reload().Tags()['scalars']
    assert {'loss', 'lr', 'coco/bbox_mAP', 'coco/segm_mAP_50'} <= set(scalars)


def test_each_checkpoint_is_evaluated_once_and_again_when_it_changes(run):
    work, options = run
    checkpoints = [work / f'iter_{count}.pth' for count in (2, 4)]
    line = ['tools/det_test.py', CONFIG, *checkpoints, '--work-dir', work, *options]
    said = ran(*line)
    table = (work / 'metrics.md').read_text()
    assert table in said
    header, _, *rows = [[cell.strip() for cell in row.strip('| ').split('|')] for row in table.splitlines()]
    assert header[:3] == ['checkpoint', 'box AP', 'box AP50'] and len(header) == 13
    assert [row[0] for row in rows] == ['iter_2', 'iter_4']
    first, second = sorted(work.glob('metrics/*/iter_?.json'))
    assert set(json.loads(first.read_text())) == {
        f'coco/{kind}_mAP{suffix}' for kind in ('bbox', 'segm') for suffix in ('', '_50', '_75', '_s', '_m', '_l')
    }
    before = first.stat().st_mtime, second.stat().st_mtime
    time.sleep(0.1)
    checkpoints[1].touch()
    ran(*line)
    assert first.stat().st_mtime == before[0] and second.stat().st_mtime > before[1]


def test_a_file_of_another_model_is_not_evaluated(run, tmp_path):
    work, options = run
    backbone = {
        name: tensor
        for name, tensor in load_checkpoint(work / 'iter_4.pth')['state_dict'].items()
        if name.startswith('backbone.')
    }
    for at, weights in enumerate((backbone, {'decoder.weight': torch.zeros(2)})):
        torch.save({'state_dict': weights}, tmp_path / f'{at}.pth')
        cfg = launch.read_config(CONFIG, ROOT, str(tmp_path / 'test'))
        cfg.experiment_name = str(tmp_path / str(at))
        with pytest.raises(ValueError, match="not one of this config's model: .* weights of MaskRCNN are missing"):
            launch.test(cfg, [str(tmp_path / f'{at}.pth')], read_options(options[1:], cfg))
    assert not list(tmp_path.rglob('metrics.md'))


def test_the_page_holds_every_evaluation_and_the_curves(run, tmp_path):
    out = tmp_path / 'page.html'
    said = ran('tools/det_report.py', run[0], '--out', out)
    assert '| iteration 2 ' in said and '| iteration 4 ' in said
    page = out.read_text()
    for part in ('Evaluation: box AP.', 'Evaluation: mask AP.', 'mask loss.', 'learning rate.', 'iteration 4'):
        assert part in page
    assert page.count('<img') == 6


def test_a_run_leaves_its_own_page_with_detections_beside_the_annotations(run):
    page = (run[0] / 'report.html').read_text()
    assert re.findall('<h[12]>(.*?)</h', page)[1:] == ['Fine-tuning', 'Evaluations', 'Detections', 'With']
    assert 'MaskRCNN with ResNet 18' in page and '4 steps, batches of 2' in page and 'finished' in page
    assert page.count('data:image/jpeg') == 1 and len(page) < 1_000_000
    assert set(re.findall('(?:src|href)="([^"]{0,5})', page)) == {'data:'}
    logs = ''.join(path.read_text() for path in run[0].glob('*/*.log'))  # evaluations of other tests among them
    assert f'report: {run[0] / "report.html"}, written in ' in logs


def test_a_folder_that_is_no_run_is_named(tmp_path):
    done = forked.run([sys.executable, 'tools/det_report.py', tmp_path])
    assert done.returncode == 1 and f'nothing was logged in "{tmp_path}"' in done.stderr
