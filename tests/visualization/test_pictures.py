"""Curves, views, detections and the method as pictures."""

import cv2
import numpy as np
import pytest

from detco_mm.visualization.curves import finetuning_curves, pretraining_curves
from detco_mm.visualization.detections import CLASS_COLOURS, Objects, detections_picture, draw_objects
from detco_mm.visualization.figures import PAIRS, STAGES
from detco_mm.visualization.method import method_picture
from detco_mm.visualization.views import patch_grid, to_picture


def decoded(image: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.std() > 5, 'the picture is blank'
    return picture


@pytest.fixture
def packed():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for shape in [(3, 96, 96)] * 2 + [(9, 3, 32, 32)] * 2]


def pretraining_rows():
    return [
        {
            'step': step,
            'loss': 9 - step / 100,
            **{f'loss_{pair}_{stage}': 4 - step / 200 for pair in PAIRS for stage in STAGES},
            **{f'acc_{pair}_{stage}': step / 10 for pair in PAIRS for stage in STAGES},
        }
        for step in range(10, 100, 10)
    ]


def test_pretraining_has_a_curve_for_the_sum_and_two_for_each_pair():
    charts = pretraining_curves(pretraining_rows())
    assert len(charts) == 7
    for image in charts.values():
        assert 500 < decoded(image).shape[1] < 800


def test_a_run_with_one_pair_alone_gets_no_empty_charts():
    rows = [{'step': step, 'loss': 3.0, 'loss_g2g_res5': 3.0} for step in (1, 2)]
    assert len(pretraining_curves(rows)) == 2


def test_a_run_without_a_finite_loss_is_refused():
    with pytest.raises(ValueError, match='no finite loss'):
        pretraining_curves([{'step': 1, 'loss': float('nan')}])


def test_finetuning_curves_show_what_was_logged():
    rows = [{'step': step, 'loss': 2.0 / step, 'loss_mask': 0.5} for step in (1, 2, 3)]
    charts = finetuning_curves({'random init': rows, 'DetCo': rows})
    assert len(charts) == 2
    for image in charts.values():
        decoded(image)


def test_patches_stand_in_reading_order_with_gaps_between_them():
    patches = np.stack([np.full((3, 5, 7), 20 * index, np.uint8) for index in range(9)])
    grid = patch_grid(patches, gap=2)
    assert grid.shape == (3 * 5 + 4, 3 * 7 + 4, 3)
    assert grid[0, 0, 0] == 0 and grid[0, 9, 0] == 20 and grid[7, 0, 0] == 60 and grid[-1, -1, 0] == 160
    assert (grid[5:7] == 255).all() and (grid[:, 7:9] == 255).all()


@pytest.mark.parametrize('shape', [(8, 3, 4, 4), (9, 4, 4)])
def test_patches_that_are_no_square_are_refused(shape):
    with pytest.raises(ValueError, match='square number'):
        patch_grid(np.zeros(shape, np.uint8))


def test_a_normalised_view_is_refused():
    with pytest.raises(ValueError, match='before the preprocessor'):
        to_picture(np.zeros((3, 4, 4), np.float32))


def objects():
    masks = np.zeros((2, 50, 100), bool)
    masks[0, 10:30, 10:40] = masks[1, 20:45, 60:90] = True
    return Objects(
        np.array([[10.0, 10.0, 40.0, 30.0], [60.0, 20.0, 90.0, 45.0]]), np.array([0, 1]), masks, np.array([0.9, 0.2])
    )


def test_boxes_and_masks_are_drawn_where_the_objects_are():
    image = np.full((50, 100, 3), 128, np.uint8)
    picture = draw_objects(image, objects(), ['disc', 'box'], side=400)
    assert picture.shape == (200, 400, 3)
    assert tuple(picture[120, 40]) == CLASS_COLOURS[0]  # lower left corner of the first box
    expected = 0.55 * 128 + 0.45 * np.array(CLASS_COLOURS[0])
    assert np.abs(picture[80, 100] - expected).max() < 2  # inside its mask
    assert (picture[190, 200] == 128).all()  # outside both
    assert (image == 128).all()  # the image itself is left as it was


def test_the_best_detections_are_those_of_the_highest_scores():
    found = Objects(np.eye(3, 4), np.arange(3), None, np.array([0.1, 0.9, 0.5]))
    assert found.best(2).labels.tolist() == [1, 2]
    assert found.best(9).scores.tolist() == [0.9, 0.5, 0.1]
    with pytest.raises(ValueError, match='no scores'):
        Objects(found.boxes, found.labels).best(1)


def test_detections_make_a_column_for_each_model():
    image = np.full((50, 100, 3), 128, np.uint8)
    none = Objects(np.zeros((0, 4)), np.zeros(0, int), np.zeros((0, 50, 100), bool), np.zeros(0))
    picture = decoded(detections_picture([image], {'ground truth': [objects()], 'DetCo': [none]}, ['disc', 'box']))
    assert 600 < picture.shape[1] < 720
    with pytest.raises(ValueError, match='one entry for each image'):
        detections_picture([image], {'DetCo': []}, ['disc', 'box'])


def test_the_method_is_one_small_picture(packed):
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    drawn = method_picture(image, packed)
    height, width = decoded(drawn).shape[:2]
    assert (width, height) == (pytest.approx(1470, abs=20), pytest.approx(744, abs=20))
    assert len(drawn) < 300_000
