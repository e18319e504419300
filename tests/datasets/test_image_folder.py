"""Any folder of images is a data set, with or without a list; what is missing is named."""

import json
import multiprocessing
import os

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from PIL import Image

from detco_mm.datasets.image_folder import ImageFolder
from detco_mm.registry import DATASETS
from tests.bad_files import skipped

VIEWS = [dict(type='detco_mm.DetCoViews', global_size=16, local_size=12)]
PIPELINE = [
    *VIEWS,
    dict(type='detco_mm.JigsawPatches', grid=3, patch_size=4),
    dict(type='detco_mm.PackDetCoInputs'),
]


@pytest.fixture
def folder(tmp_path):
    """A folder with images at three depths, and what is no image."""
    root = tmp_path / 'images'
    for name in ('b.PNG', 'a/two words 7.jpg', 'a/deep/er/c.webp', 'a.jpeg'):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (20, 20), (10, 200, 30)).save(path)
    (root / 'notes.txt').write_text('no image')
    (root / '._a.jpeg').write_bytes(b'what a file manager leaves behind')
    return root


def names(dataset, root):
    """Return the relative paths of all items."""
    return [dataset.get_data_info(index)['img_path'].removeprefix(f'{root}/') for index in range(len(dataset))]


@pytest.mark.parametrize('serialize_data', [True, False])
def test_images_are_found_at_any_depth_in_sorted_order(folder, serialize_data):
    dataset = ImageFolder(str(folder), serialize_data=serialize_data)
    assert names(dataset, folder) == ['a.jpeg', 'a/deep/er/c.webp', 'a/two words 7.jpg', 'b.PNG']


def test_links_are_followed_once_and_hidden_files_left_out(folder, tmp_path):
    (tmp_path / 'outside').mkdir()
    Image.new('RGB', (9, 9)).save(tmp_path / 'outside/far.JPG')
    (folder / 'link').symlink_to(tmp_path / 'outside')
    (folder / 'a/back').symlink_to(folder)
    (folder / 'broken.jpg').symlink_to(tmp_path / 'nothing.jpg')
    (folder / '.hidden').mkdir()
    Image.new('RGB', (9, 9)).save(folder / '.hidden/d.png')
    found = ['.hidden/d.png', 'a.jpeg', 'a/deep/er/c.webp', 'a/two words 7.jpg', 'b.PNG', 'link/far.JPG']
    assert names(ImageFolder(str(folder)), folder) == found


def test_names_that_are_no_text_are_found(folder):
    (folder / 'line\nbreak.jpg').touch()
    open(os.fsencode(folder) + b'/\xff.jpg', 'w').close()
    assert {'line\nbreak.jpg', '\udcff.jpg'} < set(names(ImageFolder(str(folder)), folder))


def test_the_subfolder_the_extensions_and_the_indices_narrow_the_search(folder):
    assert names(ImageFolder(str(folder), data_prefix=dict(img_path='a')), folder / 'a') == [
        'deep/er/c.webp',
        'two words 7.jpg',
    ]
    assert names(ImageFolder(str(folder), extensions=['.WEBP']), folder) == ['a/deep/er/c.webp']
    assert len(ImageFolder(str(folder), indices=2)) == 2


def test_a_list_gives_the_order_and_its_class_indices_are_ignored(folder):
    (folder / 'train.txt').write_text('b.PNG 3\n\na/two words 7.jpg 12\na/two words 7.jpg\n')
    dataset = ImageFolder(str(folder), ann_file='train.txt')
    assert names(dataset, folder) == ['b.PNG', 'a/two words 7.jpg', 'a/two words 7.jpg']


def test_a_coco_file_is_a_list(folder):
    (folder / 'coco.json').write_text(json.dumps(dict(images=[dict(id=4, file_name='two words 7.jpg')])))
    dataset = ImageFolder(str(folder), ann_file='coco.json', data_prefix=dict(img_path='a'))
    assert names(dataset, folder) == ['a/two words 7.jpg']


def test_it_is_built_by_its_name_and_gives_four_views(folder):
    dataset = DATASETS.build(dict(type='detco_mm.ImageFolder', data_root=str(folder), pipeline=PIPELINE))
    item = dataset[1]
    assert [tuple(view.shape) for view in item['inputs']] == [(3, 16, 16)] * 2 + [(9, 3, 4, 4)] * 2
    assert item['data_samples'].img_path == str(folder / 'a/deep/er/c.webp')


def test_another_image_stands_in_for_one_that_cannot_be_decoded(folder):
    (folder / 'a.jpeg').write_bytes(b'')
    dataset = ImageFolder(str(folder), pipeline=VIEWS)
    np.random.seed(0)
    assert dataset[0]['img_path'] != str(folder / 'a.jpeg')
    assert skipped(dataset) >= 1


def test_one_clear_error_stops_where_nothing_can_be_decoded(tmp_path):
    for index in range(3):
        (tmp_path / f'{index}.jpg').write_bytes(b'')
    with pytest.raises(ValueError, match=rf'none of the 3 images .* can be decoded; of "{tmp_path}/0.jpg", .* empty'):
        ImageFolder(str(tmp_path), pipeline=VIEWS)
    dataset = ImageFolder(str(tmp_path), pipeline=VIEWS, max_refetch=5, lazy_init=True)
    dataset.pipeline.transforms[0].settle = lambda paths: None  # the files were whole when the run began
    with pytest.raises(RuntimeError, match=rf'none of 6 images in a row, out of 3, .*{tmp_path}/\d.jpg.*data\.root'):
        dataset[0]
    assert skipped(dataset) == 6


def test_a_test_set_never_takes_another_image(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'')
    Image.new('RGB', (9, 9)).save(tmp_path / 'b.png')
    with pytest.raises(RuntimeError, match=r'none of 1 images.*a\.jpg'):
        ImageFolder(str(tmp_path), pipeline=VIEWS, test_mode=True)[0]


def test_a_missing_folder_is_named_with_the_way_out(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf'no image folder at "{tmp_path}/nowhere.*set data.root'):
        ImageFolder(f'{tmp_path}/nowhere')
    with pytest.raises(FileNotFoundError, match='no image folder at "".*set data.root'):
        ImageFolder()


def test_an_empty_folder_says_which_suffixes_were_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf'no image in "{tmp_path}.*\.jpg, .*\.webp'):
        ImageFolder(str(tmp_path))


def test_a_missing_list_is_named(folder):
    with pytest.raises(FileNotFoundError, match=rf'no annotation file at "{folder}/train.txt"'):
        ImageFolder(str(folder), ann_file='train.txt')


@pytest.mark.parametrize(('lines', 'words'), [('x/a.jpeg 0\n', 'such as ".*/x/a.jpeg"'), ('\n', 'lists none')])
def test_a_list_whose_images_are_not_there_is_named(folder, lines, words):
    (folder / 'train.txt').write_text(lines)
    with pytest.raises(FileNotFoundError, match=words):
        ImageFolder(str(folder), ann_file='train.txt')


def test_a_json_that_is_not_coco_is_named(folder):
    (folder / 'other.json').write_text('[1, 2]')
    with pytest.raises(ValueError, match='is no COCO annotation'):
        ImageFolder(str(folder), ann_file='other.json')


def test_data_workers_start_with_the_first_batch_and_not_before(folder):
    dataset = dict(type='detco_mm.ImageFolder', data_root=str(folder), pipeline=PIPELINE)
    loader = Runner.build_dataloader(
        dict(dataset=dataset, sampler=dict(type='DefaultSampler'), batch_size=2, num_workers=2, persistent_workers=True)
    )
    before = set(multiprocessing.active_children())
    batches = iter(loader)
    assert len(set(multiprocessing.active_children()) - before) == 2
    assert before == set() and len(next(batches)['inputs']) == 4


@pytest.mark.parametrize(
    ('sizes', 'said'),
    [
        (dict(local_size=50), 'cells of 16x16, too small for patches of 20x20: raise DetCoViews.local_size'),
        (dict(global_size=40, local_from_global=True), 'a view of 40x40 pixels'),
    ],
)
def test_views_that_cannot_be_cut_stop_before_the_first_image_is_read(sizes, said, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((90, 90, 3), np.uint8))
    pipeline = [dict(type='detco_mm.DetCoViews', **sizes), dict(type='detco_mm.JigsawPatches', patch_size=20)]
    with pytest.raises(ValueError, match=said):
        ImageFolder(data_root=str(tmp_path), pipeline=pipeline).full_init()


def test_images_smaller_than_the_views_are_worth_a_warning(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((32, 48, 3), np.uint8))
    log = tmp_path / 'a.log'
    MMLogger.get_instance(f'small {tmp_path}', log_file=str(log))
    ImageFolder(data_root=str(tmp_path), pipeline=[dict(type='detco_mm.DetCoViews')]).full_init()
    assert '32 pixels or less' in log.read_text() and 'lower global_size' in log.read_text()
