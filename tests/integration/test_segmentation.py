"""Segmentation by its commands, on a small set in Cityscapes' layout."""

import json

import pytest
import torch

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmseg')

from tests.integration import layouts
from tests.integration.commands import ran, write_backbone

FCN = 'configs/mmseg/fcn_r50-d16_90k_cityscapes-769x769.py'
# ResNet-18 on crops of 65 x 65, two iterations; tests see whole images of 160 x 128.
SMALL = [
    'model.backbone.depth=18',
    'model.decode_head.in_channels=512',
    'model.data_preprocessor.size=(65,65)',
    'model.data_preprocessor.test_cfg.size=(129,161)',
    'train_dataloader.dataset.pipeline.2.scale=(160,128)',
    'train_dataloader.dataset.pipeline.3.crop_size=(65,65)',
    'val_dataloader.dataset.pipeline.1.scale=(160,128)',
    'test_dataloader.dataset.pipeline.1.scale=(160,128)',
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'default_hooks.checkpoint.interval=1',
    # One step of two iterations: the first checkpoint holds the weights that came in.
    'optim_wrapper.accumulative_counts=2',
    'default_hooks.logger.interval=1',
]


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    """What leads the config to a small Cityscapes."""
    folder = tmp_path_factory.mktemp('data')
    root = layouts.cityscapes(layouts.embedded(folder / 'embedded'), folder / 'cityscapes')
    given = list(SMALL)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        given += [f'{loader}.dataset.data_root={root}', f'{loader}.num_workers=0', f'{loader}.persistent_workers=False']
    return given


@pytest.fixture(scope='module')
def backbone(tmp_path_factory):
    """A ResNet-18 as export writes it."""
    return write_backbone(tmp_path_factory.mktemp('weights') / 'backbone.pth', 18)


def test_a_segmenter_starts_from_the_backbone_trains_and_is_evaluated_again(tmp_path, options, backbone):
    work = tmp_path / 'run'
    ran('seg_train.py', FCN, backbone, '--work-dir', work, '--cfg-options', *options)
    given = torch.load(backbone, weights_only=True)['state_dict']
    weights = [name for name in given if 'running_' not in name and 'num_batches' not in name]
    start, after = (torch.load(work / f'iter_{at}.pth', weights_only=False)['state_dict'] for at in (1, 2))
    assert weights and all(torch.equal(start[f'backbone.{name}'], given[name]) for name in weights)
    assert not any(torch.equal(after[f'backbone.{name}'], given[name]) for name in weights)  # nothing is frozen

    rows = [json.loads(line) for path in work.glob('*/vis_data/scalars.json') for line in path.open()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert len(losses) == 2 and all(0 < loss < 100 for loss in losses)
    (evaluated,) = (row for row in rows if 'mIoU' in row)
    assert evaluated['step'] == 2 and 0 <= evaluated['mIoU'] <= 100

    out = tmp_path / 'metrics.json'
    line = [FCN, work / 'iter_2.pth', '--work-dir', tmp_path / 'test', '--out', out, '--cfg-options', *options]
    said = ran('det_test.py', *line)
    assert json.loads(out.read_text())['mIoU'] == evaluated['mIoU'] and '| mIoU |' in said.replace('  ', ' ')


def test_a_backbone_of_another_depth_stops_with_a_list(tmp_path, options, backbone):
    line = [FCN, backbone, '--work-dir', tmp_path, '--cfg-options', *options, 'model.backbone.depth=34']
    message = ran('seg_train.py', *line, expect=1)
    assert message.strip().splitlines()[-1].startswith('ValueError') and 'missing (layer1.2.conv1.weight' in message


def test_a_package_that_is_not_there_is_named_in_one_message(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text("_base_ = 'mmocr::_base_/default_runtime.py'\n")
    message = ran('seg_train.py', config, expect=1).strip().splitlines()
    assert message[-1].startswith('ModuleNotFoundError: mmocr is not installed') and 'make setup' in message[-1]
    assert not any(line.startswith('Traceback') for line in message)
