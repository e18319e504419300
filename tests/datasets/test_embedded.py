import json

import cv2
import numpy as np
import pytest

from detco_mm.datasets import CLASS_NAMES, SceneSpec, make_embedded
from detco_mm.datasets.embedded.dataset import SPLITS, image_seed, run_lengths
from detco_mm.datasets.embedded.outlines import CLASSES, OUTLINES, PATTERNS, outline, pattern
from detco_mm.datasets.embedded.scenes import MIN_PIXELS, make_scene

COUNTS = dict(unlabelled=6, train=16, val=8, test=8)
LABELLED = SPLITS[1:]


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'embedded'
    assert make_embedded(root, seed=3, **COUNTS)
    return root


def annotations(root, split):
    return json.loads((root / 'annotations' / f'instances_{split}.json').read_text())


def test_the_same_seed_gives_the_same_bytes_for_any_number_of_workers(made, tmp_path):
    make_embedded(tmp_path / 'two', seed=3, workers=2, **COUNTS)
    assert contents(tmp_path / 'two') == contents(made)


def test_another_seed_gives_other_images(made, tmp_path):
    make_embedded(tmp_path / 'other', seed=4, **COUNTS)
    ours, theirs = ({v for k, v in contents(root).items() if k.endswith('jpg')} for root in (made, tmp_path / 'other'))
    assert len(ours) == len(theirs) == sum(COUNTS.values())
    assert not ours & theirs


def test_no_image_is_in_two_splits_nor_twice_in_one(made):
    images = [data for name, data in contents(made).items() if name.endswith('jpg')]
    assert len(set(images)) == len(images) == sum(COUNTS.values())


def test_a_larger_split_begins_with_the_smaller_one_and_leaves_the_others_alone(made, tmp_path):
    make_embedded(tmp_path / 'more', seed=3, **{**COUNTS, 'train': 18})
    ours, theirs = contents(made), contents(tmp_path / 'more')
    assert all(theirs[name] == data for name, data in ours.items() if name.endswith('jpg'))


@pytest.mark.parametrize('split', LABELLED)
def test_annotations_agree_with_the_masks_that_pycocotools_reads(made, split):
    coco_module = pytest.importorskip('pycocotools.coco')
    coco = coco_module.COCO(str(made / 'annotations' / f'instances_{split}.json'))
    assert len(coco.imgs) == COUNTS[split]
    assert {one['category_id'] for one in coco.anns.values()} == set(coco.cats) == set(range(1, len(CLASS_NAMES) + 1))
    for image_id, image in coco.imgs.items():
        pixels = cv2.imread(str(made / split / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3) == (128, 160, 3)
        labels = coco.imgToAnns[image_id]
        assert 1 <= len(labels) <= 6
        masks = np.stack([coco.annToMask(label) for label in labels])
        assert masks.sum(axis=0).max() == 1, 'visible parts never overlap'
        for label, mask in zip(labels, masks, strict=True):
            rows, columns = np.nonzero(mask)
            x, y, w, h = label['bbox']
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (x, y, x + w, y + h)
            assert label['area'] == mask.sum() >= MIN_PIXELS * 0.9
            assert label['iscrowd'] == 0


def test_run_lengths_keep_holes_and_a_first_pixel_that_is_set():
    mask_module = pytest.importorskip('pycocotools.mask')
    for seed in range(4):
        mask = np.random.default_rng(seed).random((7, 5)) < 0.5
        mask.flat[0] = seed % 2
        encoded = run_lengths(mask)
        decoded = mask_module.decode(mask_module.frPyObjects(encoded, *mask.shape))
        np.testing.assert_array_equal(decoded, mask)


def test_made_again_with_the_same_parameters_nothing_is_touched(made):
    before = {path: path.stat().st_mtime_ns for path in made.rglob('*')}
    assert not make_embedded(made, seed=3, **COUNTS)
    assert {path: path.stat().st_mtime_ns for path in made.rglob('*')} == before


def test_other_parameters_are_refused_and_nothing_is_lost(made):
    before = contents(made)
    with pytest.raises(ValueError, match=r"'seed': 3.*'seed': 5.*choose another folder"):
        make_embedded(made, seed=5, **COUNTS)
    assert contents(made) == before


def test_a_folder_with_somebody_elses_files_is_refused_and_nothing_is_lost(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(ValueError, match='something other than the embedded set'):
        make_embedded(tmp_path, **COUNTS)
    assert contents(tmp_path) == {'notes.txt': b'mine'}


def test_an_interrupted_run_leaves_nothing_behind(tmp_path):
    def interrupt(split, done, count):
        if split == 'train':
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_embedded(tmp_path / 'set', report=interrupt, **COUNTS)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled(tmp_path):
    assert make_embedded(tmp_path, unlabelled=1, train=1, val=0, test=0)
    assert (tmp_path / 'unlabelled' / '000000.jpg').is_file()
    assert annotations(tmp_path, 'val')['images'] == []


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [(dict(train=-1), 'train of -1'), (dict(seed=-1), 'seed of -1'), (dict(workers=0), 'workers of 0')],
)
def test_a_number_out_of_range_is_named(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        make_embedded(tmp_path / 'set', **{**COUNTS, **wrong})


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        (dict(objects=(0, 2)), 'must begin at 1'),
        (dict(objects=(3, 2)), 'fewest <= most'),
        (dict(image_size=(16, 160)), 'at least 32'),
        (dict(diameter=(20, 200)), 'shorter side'),
        (dict(clutter=(1, 2, 3)), 'two numbers'),
    ],
)
def test_a_scene_that_cannot_be_drawn_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SceneSpec(**wrong)


def test_neither_outline_nor_pattern_alone_names_the_class():
    assert len(set(CLASSES)) == len(CLASSES) == 8
    for position, parts in enumerate((OUTLINES, PATTERNS)):
        for part in parts:
            assert sum(class_[position] == part for class_ in CLASSES) == 2


def test_colour_does_not_tell_the_class():
    """Mean colours of a class's objects scatter far more within a class than between the means of the classes."""
    colours = {class_: [] for class_ in range(len(CLASSES))}
    for index in range(120):
        scene = make_scene(SceneSpec(), index % len(CLASSES), image_seed(0, 1, index))
        for mask, class_ in zip(scene.masks, scene.classes, strict=True):
            colours[class_].append(scene.image[mask].mean(axis=0))
    within = np.mean([np.std(values, axis=0) for values in colours.values()])
    between = np.std([np.mean(values, axis=0) for values in colours.values()], axis=0).mean()
    assert within > 3 * between


def test_objects_hide_one_another_in_a_fair_share_of_the_scenes():
    touching = 0
    for index in range(60):
        scene = make_scene(SceneSpec(), 0, image_seed(0, 1, index))
        grown = [cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) for mask in scene.masks]
        touching += np.sum(grown, axis=0).max() > 1
    assert touching >= 20


def test_outlines_fit_a_circle_of_radius_one_and_patterns_lie_between_two_colours():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-20:20, -20:20].astype(np.float32)
    for name in (*OUTLINES, 'blob', 'triangle'):
        assert np.linalg.norm(outline(name, rng), axis=1).max() == pytest.approx(1)
    for name in PATTERNS:
        weight = pattern(name, x, y, 40.0, rng)
        assert weight.shape == x.shape and 0 <= weight.min() < 0.1 < 0.9 < weight.max() <= 1
    with pytest.raises(ValueError, match='unknown outline'):
        outline('heart', rng)
    with pytest.raises(ValueError, match='unknown pattern'):
        pattern('plain', x, y, 40.0, rng)
