"""VOC07's linear SVMs: labels, measure and protocol."""

import runpy
from pathlib import Path

import mmselfsup
import numpy as np
import pytest

from detco_mm.evaluation import svm
from tests.integration import layouts

HELPER = '.mim/tools/benchmarks/classification/svm_voc07/tools/svm_helper.py'


def separable(images, noise, seed=0):
    """Features in which each of three classes, present in about a third of the images, has an axis of its own."""
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((images, 3)) < 0.35, 1, -1)
    return (labels @ np.eye(3, 8) + noise * rng.standard_normal((images, 8))).astype(np.float32), labels


def test_the_measure_is_that_of_mmselfsups_benchmark():
    theirs = runpy.run_path(str(Path(mmselfsup.__file__).parent / HELPER))['get_precision_recall']
    rng = np.random.default_rng(0)
    for images in (5, 40, 300):
        present, scores = rng.random(images) < 0.3, rng.standard_normal(images)
        present[0] = True
        assert svm.average_precision(present, scores) == pytest.approx(theirs(present, scores)[3], abs=1e-12)
    assert svm.average_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0])) == pytest.approx(5 / 6)


def test_labels_say_present_absent_and_difficult(tmp_path):
    from mmcls.datasets import VOC

    root = layouts.voc(layouts.embedded(tmp_path / 'embedded'), tmp_path / 'voc') / 'VOC2007'
    xml = root / 'Annotations/train_000001.xml'
    first = xml.read_text()
    xml.write_text(first.replace('<difficult>0', '<difficult>1', 1))
    dataset = VOC(str(root), 'ImageSets/Main/trainval.txt')
    labels = svm.voc_labels(dataset)
    assert labels.shape == (6, 20) and set(np.unique(labels)) == {-1, 0, 1}
    names = {name for name in layouts.VOC_NAMES if f'<name>{name}<' in first}
    row = labels[[dataset.get_data_info(i)['img_path'].endswith('train_000001.jpg') for i in range(6)].index(True)]
    assert {dataset.CLASSES[at] for at in np.flatnonzero(row >= 0)} == names
    assert len(names) - 1 <= (row == 1).sum() <= len(names)


def test_all_labels_tell_separable_classes_and_random_features_do_not():
    (train, labels), (test, truth) = separable(90, 0.05), separable(60, 0.05, seed=1)
    assert svm.full(train, labels, test, truth, costs=(0.1, 1.0)).min() > 0.99
    nothing = np.random.default_rng(2).standard_normal(test.shape).astype(np.float32)
    assert svm.full(train, labels, nothing, truth, costs=(1.0,)).mean() < 0.7


def test_difficult_images_count_as_absent_in_training_and_not_at_all_in_tests():
    (train, labels), (test, truth) = separable(90, 0.05), separable(60, 0.05, seed=1)
    doubtful = truth.copy()
    doubtful[np.flatnonzero(truth[:, 0] == -1)[:5], 0] = 0
    wrong = test.copy()
    wrong[doubtful[:, 0] == 0, 0] = 1.0  # they look as if the class were there
    given = dict(costs=(1.0,))
    assert svm.full(train, labels, wrong, doubtful, **given)[0] > 0.99
    assert svm.full(train, labels, wrong, truth, **given)[0] < 0.99
    absent = np.where(labels == -1, 0, labels)
    absent[:, 1:] = labels[:, 1:]
    absent[np.flatnonzero(absent[:, 0] == 0)[:3], 0] = -1
    np.testing.assert_array_equal(
        svm.full(train, absent, test, truth, **given), svm.full(train, labels, test, truth, **given)
    )


def test_few_labels_are_drawn_as_many_as_said_and_more_of_them_help():
    (train, labels), (test, truth) = separable(200, 0.8), separable(300, 0.8, seed=1)
    labels[:7, 0] = 0
    for own, drawn in zip(labels.T, svm._sample(labels, 4, (0, 0, 4)), strict=True):
        assert len(set(drawn)) == len(drawn) == 4 + 2 * 4
        assert (own[drawn] == 1).sum() == 4 and (own[drawn] == -1).sum() == 8
    few = svm.low_shot(train, labels, test, truth, shots=(1, 16, 1000), costs=(0.1, 1.0), samples=3)
    assert list(few) == [1, 16]  # no class is in a thousand images
    assert few[1].shape == (3,) and few[16].mean() > few[1].mean() + 0.05
    again = svm.low_shot(train, labels, test, truth, shots=(1,), costs=(0.1, 1.0), samples=3)
    np.testing.assert_array_equal(again[1], few[1])


def test_a_class_in_too_few_images_is_named():
    features, labels = separable(30, 0.1)
    labels[:, 1] = -1
    with pytest.raises(ValueError, match=r'train: class 1 .* fewer than 3 images'):
        svm.full(features, labels, features, labels)
