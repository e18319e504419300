"""Evaluations of frozen features by their commands, on small sets in the layouts of VOC and ImageNet."""

import json

import cv2
import numpy as np
import pytest
import torch

from tests.integration import layouts
from tests.integration.commands import ran, write_backbone

LINEAR = 'configs/mmcls/resnet50_linear-8xb32-steplr-100e_imagenet.py'
LOADERS = ('train_dataloader', 'val_dataloader')
CLASSES = 6  # top-5 accuracy needs more than five
R18 = ['model.backbone.depth=18', 'model.head.in_channels=512', f'model.head.num_classes={CLASSES}']


@pytest.fixture(scope='module')
def backbone(tmp_path_factory):
    """A ResNet-18 with statistics that are not those of the start."""
    return write_backbone(tmp_path_factory.mktemp('weights') / 'backbone.pth', 18)


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """ImageNet's folders, {train,val}/WNID/*.JPEG; each class has a colour of its own, under noise."""
    root, rng = tmp_path_factory.mktemp('imagenet'), np.random.default_rng(0)
    for split, count in (('train', 6), ('val', 17)):
        for at in range(CLASSES):
            folder = root / split / f'n0000000{at}'
            folder.mkdir(parents=True)
            colour = np.where(at + 1 >> np.arange(3) & 1, 200.0, 60.0)
            for number in range(count):
                image = np.clip(colour + rng.normal(0, 40, (48, 40, 3)), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f'{split}_{number}.JPEG'), image)
    return root


def small(root):
    """Options that lead the linear config to `root` and make its images small."""
    options = [*R18, 'val_dataloader.dataset.pipeline.1.scale=48', 'val_dataloader.dataset.pipeline.2.crop_size=40']
    for loader in LOADERS:
        options += [f'{loader}.dataset.data_root={root}', f'{loader}.dataset.type=CustomDataset']
        options.append(f'{loader}.num_workers=0')
    return ['--cfg-options', *options]


def test_svms_on_voc(tmp_path, backbone):
    source = layouts.embedded(tmp_path / 'embedded', train=24, val=16)
    root = layouts.voc(source, tmp_path / 'voc') / 'VOC2007'
    options = ['model.backbone.depth=18']
    for loader in ('train_dataloader', 'test_dataloader'):
        options += [f'{loader}.dataset.data_root={root}', f'{loader}.num_workers=0']
        options.append(f'{loader}.dataset.metainfo.classes={",".join(layouts.VOC_NAMES[:4])}')
    out = tmp_path / 'svm.json'
    said = ran(
        'eval_svm.py', 'configs/mmcls/resnet50_svm_voc07.py', backbone, '--out', out, '--jobs', 1,
        '--low-shot', '--shots', 1, 2, '--samples', 2, '--stages', 'res4', 'res5', '--cfg-options', *options,
    )  # fmt: skip
    found = json.loads(out.read_text())
    assert list(found) == ['res4', 'res5']
    for stage in found.values():
        assert len(stage['all']) == 4 and all(0 < value <= 1 for value in stage['all'])
        assert {k: len(values) for k, values in stage['low_shot'].items()} == {'1': 2, '2': 2}
    assert 'features of 24 images' in said and f'res5: mAP {100 * np.mean(found["res5"]["all"]):.2f}' in said


def test_neighbours_on_imagenets_folders(tmp_path, imagenet, backbone):
    out = tmp_path / 'knn.json'
    ran('eval_knn.py', LINEAR, backbone, '--k', 5, 10, '--out', out, *small(imagenet))
    found = json.loads(out.read_text())
    assert list(found) == ['5', '10']
    assert all(value['top1'] > 90 and value['top5'] >= value['top1'] for value in found.values())
    message = ran('eval_knn.py', LINEAR, backbone, '--k', 37, *small(imagenet), expect=1)
    assert message.strip().endswith('ValueError: --k 37 is more than the 36 training images: give a smaller one')


def test_a_linear_classifier_learns_and_the_backbone_does_not(tmp_path, imagenet, backbone):
    work = tmp_path / 'run'
    options = [*small(imagenet), 'train_dataloader.dataset.pipeline.1.scale=40', 'train_dataloader.batch_size=6']
    options += [
        'train_cfg.max_epochs=4',
        'optim_wrapper.optimizer.lr=1.0',
        'param_scheduler.gamma=1.0',
        'default_hooks.checkpoint.interval=4',
    ]
    ran('cls_train.py', LINEAR, backbone, '--work-dir', work, *options)
    given = torch.load(backbone, weights_only=True)['state_dict']
    after = torch.load(work / 'epoch_4.pth', weights_only=False)['state_dict']
    assert all(torch.equal(after[f'backbone.{name}'], tensor) for name, tensor in given.items())
    rows = [json.loads(line) for path in work.glob('*/vis_data/scalars.json') for line in path.open()]
    assert max(row.get('accuracy/top1', 0) for row in rows) > 90


def test_a_backbone_of_another_depth_stops_each_with_a_list(imagenet, backbone):
    for tool in ('eval_knn.py', 'cls_train.py'):
        message = ran(tool, LINEAR, backbone, *small(imagenet), 'model.backbone.depth=34', expect=1)
        assert 'of 180 weights of ResNet are missing' in message and 'layer1.2.conv1.weight' in message
