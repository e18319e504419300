"""What val or test shows stops a pre-training, frames of one film are said, and both for a bounded time."""

import logging
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from skimage import data

pytest.importorskip('imagehash')
from detco_mm.datasets import ImageFolder
from detco_mm.datasets.duplicates import RUN, all_held_out, sampled
from detco_mm.engine.errors import RunStopped
from detco_mm.engine.hooks import CheckImages
from detco_mm.engine.leakage import find_leaks, find_repeats
from detco_mm.experiments.ablation import Method, Study, Task
from detco_mm.experiments.data_sets import DataSet
from detco_mm.experiments.leakage import check_leakage
from tests.integration.small_run import ROOT

PHOTOS = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), data.immunohistochemistry(), data.retina()]


def save(folder, images, names=None):
    folder.mkdir(parents=True, exist_ok=True)
    for at, image in enumerate(images):
        small = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / (names[at] if names else f'{at}.png')), small[..., ::-1])
    return folder


@pytest.fixture
def folders(tmp_path):
    """Four photographs to train on, two that are held out."""
    return save(tmp_path / 'train', PHOTOS[:4]), save(tmp_path / 'val', PHOTOS[4:])


def paths(folder):
    return sorted(map(str, folder.iterdir()))


def test_nothing_leaks_from_other_photographs(folders, tmp_path):
    train, val = folders
    assert find_leaks(paths(train), str(train), [str(val)], tmp_path / 'out') is None
    assert find_repeats(paths(train), str(train), tmp_path / 'out') is None and not (tmp_path / 'out').exists()


def test_a_leak_is_counted_drawn_and_a_list_without_it_can_be_trained_on(folders, tmp_path):
    train, val = folders
    cv2.imwrite(str(train / 'again.jpg'), cv2.resize(cv2.imread(str(val / '1.png')), (60, 60)))
    line = find_leaks(paths(train), str(train), [str(val)], tmp_path / 'out')
    assert line.startswith('1 of 5 images for pre-training show what 1 of 2 images of val or test show, such as')
    assert f'data.ann_file={tmp_path}/out/without_held_out.txt' in line and '\n' not in line
    assert (tmp_path / 'out/leaks.png').read_bytes().startswith(b'\x89PNG')
    left = ImageFolder(str(train), ann_file=str(tmp_path / 'out/without_held_out.txt'))
    assert len(left) == 4


def test_val_within_the_folder_is_found_wherever_the_sample_falls(folders, tmp_path):
    train, val = folders
    shutil.copytree(val, train / 'sub/val')
    found = sorted(map(str, train.rglob('*.png')))
    line = find_leaks(found, str(train), [str(train / 'sub/val')], tmp_path, sample=2)
    assert (
        line.startswith('2 of ') and 'tools/check_images.py' in line and f'--against {train}/sub/val looks at' in line
    )


def test_frames_of_a_film_are_counted_and_one_of_each_is_offered(tmp_path):
    frames = [cv2.convertScaleAbs(PHOTOS[0], beta=at) for at in range(6)]
    film = save(tmp_path / 'film', [*frames, PHOTOS[1]])
    line = find_repeats(paths(film), str(film), tmp_path / 'out')
    assert line.startswith('5 of 7 images repeat another one') and 'thinned.txt' in line
    assert len(ImageFolder(str(film), ann_file=str(tmp_path / 'out/thinned.txt'))) == 2


@pytest.mark.parametrize('count', [0, 1, 15, 16, 17, 100, 101, 5000])
def test_a_sample_is_bounded_and_of_whole_runs_of_neighbours(count):
    names = [f'{at:05d}' for at in range(count)]
    chosen = sampled(names, 64)
    assert chosen == sorted(set(chosen)) and len(chosen) <= max(64, RUN) and (count > 64 or chosen == names)
    if count > 64:
        steps = np.diff([int(name) for name in chosen])
        assert len(chosen) >= 48 and (steps == 1).sum() >= len(chosen) - len(chosen) // RUN - 1


@pytest.mark.parametrize(
    ('places', 'words'),
    [
        (['none.json'], 'no folder at "none.json": name the COCO json'),
        (5, 'data.held_out=5: name COCO jsons'),
        ([__file__], 'has no folder behind it'),
        ([__file__, __file__], 'no folder at'),
    ],
)
def test_what_is_held_out_is_named_wrongly(places, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        all_held_out(places)


def start(folder, work, **held_out):
    """Run the hook as before the first step."""
    said = []
    runner = SimpleNamespace(
        cfg=Config(dict(data=held_out)),
        train_dataloader=SimpleNamespace(dataset=ImageFolder(str(folder))),
        iter=0,
        work_dir=str(work),
        logger=SimpleNamespace(log=lambda level, text: said.append((level, text))),
    )
    CheckImages().before_train(runner)
    return said


def test_a_run_stops_at_a_leak_and_warns_of_a_film(folders, tmp_path):
    train, val = folders
    assert start(train, tmp_path / 'run', held_out=[str(val)]) == []
    save(train, [PHOTOS[0]] * 3, ['b.png', 'c.png', 'd.png'])
    ((level, text),) = start(train, tmp_path / 'run')
    assert level == logging.WARNING and text.startswith('3 of 7 images repeat another one')
    save(train, PHOTOS[5:], ['leak.png'])
    with pytest.raises(RunStopped, match='1 of 8 images .* with data.held_out=None nobody looks'):
        start(train, tmp_path / 'run', held_out=str(val))
    with pytest.raises(ValueError, match='data.held_out=7'):
        start(train, tmp_path / 'run', held_out=7)


def test_a_study_does_not_start_where_test_images_are_pre_trained_on(tmp_path):
    content = '{"images": [{"id": 1, "file_name": "0.png"}], "annotations": [], "categories": []}'
    for split, image in (('train', PHOTOS[0]), ('val', PHOTOS[1]), ('test', PHOTOS[2]), ('unlabelled', PHOTOS[3])):
        save(tmp_path / split, [image])
        (tmp_path / 'annotations').mkdir(exist_ok=True)
        (tmp_path / f'annotations/instances_{split}.json').write_text(content)
    study = Study(
        methods=[Method('DetCo', 'configs/mini/detco_r18.py')],
        tasks=[Task('all', 'configs/mini/mask-rcnn_r18_fpn_embedded.py')],
        seeds=[0],
        data_sets=[DataSet('fish', tmp_path)],
    )
    check_leakage(study, tmp_path / 'work', ROOT)
    save(tmp_path / 'unlabelled', [PHOTOS[2]], ['x.png'])
    with pytest.raises(ValueError, match='1 of 2 images for pre-training show what 1 of 2 images of val or test show'):
        check_leakage(study, tmp_path / 'work', ROOT)
