"""A config's labels are checked before anything is built, and fixed copies are what the run reads."""

import copy
import json
import shlex
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from detco_mm.datasets.coco_labels import LabelError
from detco_mm.engine.labels import check_config_labels
from detco_mm.engine.mistakes import explain
from detco_mm.engine.options import read_options
from tests.datasets.coco import CLASSES, content, draw, each, write
from tests.integration.small_run import ROOT

SPLITS = ('train', 'val', 'test')
WITHOUT = 'faster-rcnn_r50-c4_24k_voc0712', 'mask-rcnn_r50_fpn_24k_cityscapes', 'retinanet_r50_fpn_1x_coco'
HEADS = ('model.roi_head.bbox_head.num_classes', 'model.roi_head.mask_head.num_classes')


@pytest.fixture
def data(tmp_path):
    """A set in COCO's layout, sound."""
    for split in SPLITS:
        draw(tmp_path / split)
        (tmp_path / 'annotations').mkdir(exist_ok=True)
        write(labels(tmp_path, split), content())
    return tmp_path


def labels(data, split='train'):
    return data / f'annotations/instances_{split}.json'


def config(data, path='configs/mini/mask-rcnn_r18_fpn_embedded.py', classes=CLASSES):
    cfg = Config.fromfile(ROOT / path)
    cfg.work_dir = str(data / 'run')
    for split in SPLITS:
        section = cfg[f'{split}_dataloader'].dataset
        section.update(data_root=f'{data}/', ann_file=f'annotations/instances_{split}.json')
        section.data_prefix = dict(img=f'{split}/')
        if classes:
            section.metainfo = dict(classes=classes)
        if split != 'train':
            cfg[f'{split}_evaluator'].ann_file = str(labels(data, split))
    if classes:
        cfg.merge_from_dict({head: len(classes) for head in HEADS})
    init_default_scope('mmdet')
    return cfg


def stopped(cfg):
    """What a run with this config says; one line."""
    with pytest.raises(LabelError) as error:
        check_config_labels(cfg)
    assert '\n' not in str(error.value)
    assert explain(error.value) == f'ValueError: {error.value}'
    return str(error.value)


def test_a_config_with_sound_labels_is_not_changed(data):
    cfg = config(data)
    before = copy.deepcopy(cfg.to_dict())
    check_config_labels(cfg)
    assert cfg.to_dict() == before and not (data / 'run').exists()


@pytest.mark.parametrize('split', SPLITS)
def test_what_is_fixed_is_read_by_data_set_and_evaluator(data, split):
    path = labels(data, split)
    wanted = DATASETS.build(dict(config(data)[f'{split}_dataloader'].dataset, pipeline=[]))
    changed = each(lambda found, at: [found.pop('area'), found.pop('iscrowd')])
    changed['categories'].reverse()
    path.write_bytes(json.dumps(changed).encode('utf-8-sig'))
    cfg = config(data)
    check_config_labels(cfg)
    section = cfg[f'{split}_dataloader'].dataset
    assert Path(section.ann_file).is_relative_to(data / 'run/labels')
    assert split == 'train' or cfg[f'{split}_evaluator'].ann_file == section.ann_file
    found = DATASETS.build(dict(section, pipeline=[]))
    assert [found[at]['instances'] for at in range(len(found))] == [
        wanted[at]['instances'] for at in range(len(wanted))
    ]
    assert json.loads(path.read_text(encoding='utf-8-sig')) == changed


def wrapped(kind, section):
    if kind == 'ConcatDataset':
        return dict(type=kind, datasets=[section, copy.deepcopy(section)], ignore_keys=['dataset_type'])
    more = {'RepeatDataset': dict(times=2), 'ClassBalancedDataset': dict(oversample_thr=0.1)}.get(kind, {})
    return dict(type=kind, dataset=section, **more, **(dict(pipeline=[]) if kind == 'MultiImageMixDataset' else {}))


@pytest.mark.parametrize('kind', ['RepeatDataset', 'ConcatDataset', 'ClassBalancedDataset', 'MultiImageMixDataset'])
def test_data_sets_are_found_in_wrappers(data, kind):
    cfg = config(data)
    cfg.train_dataloader.dataset = wrapped(kind, cfg.train_dataloader.dataset)
    check_config_labels(cfg)
    write(labels(data), each(lambda found, at: found.update(bbox=[0, 0, 0, 0])))
    text = stopped(cfg)
    name = 'train_dataloader.dataset.datasets.0' if kind == 'ConcatDataset' else 'train_dataloader.dataset.dataset'
    assert text.startswith(f'"{labels(data)}" ({name}.ann_file): boxes without an area')
    assert 'width or height is 0 or less: 10 (annotation 1 on "tank_0.jpg": [0, 0, 0, 0], ' in text


def test_a_mask_detector_stops_without_masks_and_a_box_detector_does_not(data):
    for split in SPLITS:
        write(labels(data, split), each(lambda found, at: found.pop('segmentation')))
    assert 'objects without a segmentation: 10' in stopped(config(data))
    cfg = config(data, 'configs/mmdet/retinanet_r50_fpn_1x_coco.py', None)
    for split in SPLITS:
        cfg[f'{split}_dataloader'].dataset.metainfo = dict(classes=CLASSES)
    cfg.model.bbox_head.num_classes = 3
    check_config_labels(cfg)


def test_cocos_80_classes_stop_with_options_that_can_be_copied(data):
    path = 'configs/mmdet/mask-rcnn_r50_fpn_1x_coco.py'
    cfg = config(data, path, None)
    text = stopped(cfg)
    assert 'categories that are no classes of the config: "fish" (3 objects)' in text
    options = shlex.split(text.split('--cfg-options ')[1])
    cfg = config(data, path, None)
    cfg.merge_from_dict(read_options(options, cfg))
    check_config_labels(cfg)
    assert [cfg.model.roi_head[head].num_classes for head in ('bbox_head', 'mask_head')] == [3, 3]
    assert DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[])).metainfo['classes'] == list(CLASSES)


@pytest.mark.parametrize('wrong', ['fishes', 'Fish', 'fihs'])
@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_misspelt_class_stops(data, wrong, split):
    changed = content()
    changed['categories'][0]['name'] = wrong
    write(labels(data, split), changed)
    text = stopped(config(data))
    assert f'instances_{split}.json' in text and f'"{wrong}" (3 objects), the nearest class is "fish"' in text


def test_heads_are_compared_with_the_classes(data):
    cfg = config(data)
    cfg.model.roi_head.mask_head.num_classes = 5
    text = stopped(cfg)
    assert '3 classes, fish, big shark, ray, but model.roi_head.mask_head.num_classes=5' in text
    assert 'set --cfg-options model.roi_head.mask_head.num_classes=3' in text


def test_training_and_evaluation_have_the_same_classes(data):
    cfg = config(data)
    cfg.val_dataloader.dataset.metainfo.classes = ('ray', 'fish', 'big shark')
    assert 'val_dataloader.dataset ray, fish, big shark: set metainfo.classes' in stopped(cfg)


def test_an_evaluator_that_looks_at_other_images_stops(data):
    other = content()
    for image in other['images']:
        image['id'] += 100
    for found in other['annotations']:
        found['image_id'] += 100
    cfg = config(data)
    cfg.val_evaluator.ann_file = str(write(data / 'other.json', other))
    text = stopped(cfg)
    assert 'val_evaluator.ann_file is' in text and 'which lists other images' in text
    assert f'--cfg-options val_evaluator.ann_file={labels(data, "val")}' in text


@pytest.mark.parametrize('text', ['fish', 'none.txt'])
def test_a_class_that_is_text_and_no_list_stops(data, text):
    cfg = config(data)
    cfg.train_dataloader.dataset.metainfo.classes = text
    assert f"classes='{text}' is text: for a single class write ('{text}',)" in stopped(cfg)


def test_classes_are_read_from_a_file_of_any_editor(data):
    (data / 'classes.txt').write_bytes('\r\n'.join(CLASSES).encode('utf-16'))
    cfg = config(data)
    cfg.train_dataloader.dataset.metainfo.classes = str(data / 'classes.txt')
    check_config_labels(cfg)
    assert list(cfg.train_dataloader.dataset.metainfo.classes) == list(CLASSES)


@pytest.mark.parametrize('path', ['detco_r50_8xb32.py', *(f'mmdet/{name}.py' for name in WITHOUT)])
def test_configs_without_coco_labels_or_without_their_files_are_passed_by(path):
    cfg = Config.fromfile(ROOT / 'configs' / path)
    before = copy.deepcopy(cfg.to_dict())
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    check_config_labels(cfg)
    assert cfg.to_dict() == before
