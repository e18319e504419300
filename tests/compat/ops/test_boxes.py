"""Suppression and overlaps of boxes, compared with loops over boxes."""

import math

import mmcv.ops
import numpy as np
import pytest
import torch

from tests.devices import also_on_gpu


def draw(count, seed=0, dtype=torch.float32):
    """Boxes that overlap much, with scores."""
    drawn = torch.rand(5 * count, generator=torch.Generator('cpu').manual_seed(seed), device='cpu')
    corners, sides, scores = drawn[: 2 * count] * 40, 5 + drawn[2 * count : 4 * count] * 25, drawn[4 * count :]
    corners, sides = corners.view(count, 2), sides.view(count, 2)
    here = torch.get_default_device()
    return torch.cat([corners, corners + sides], 1).to(here, dtype), scores.to(here, dtype)


def iou(first, second, offset=0):
    width, height = (
        max(min(first[end], second[end]) - max(first[start], second[start]) + offset, 0)
        for start, end in ((0, 2), (1, 3))
    )
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (first, second)]
    union = sum(areas) - width * height
    return width * height / union if union else 0.0


def suppress(boxes, scores, threshold, offset=0):
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(iou(boxes[index], boxes[better], offset) <= threshold for better in kept):
            kept.append(index)
    return kept


@also_on_gpu
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('offset', [0, 1])
def test_nms_keeps_a_box_that_no_better_kept_one_overlaps_too_much(offset, dtype):
    boxes, scores = draw(60, dtype=dtype)
    expected = suppress(boxes.tolist(), scores.tolist(), 0.4, offset)
    kept, indices = mmcv.ops.nms(boxes, scores, 0.4, offset=offset)
    assert 5 < len(expected) < 55 and indices.tolist() == expected
    assert torch.equal(kept, torch.cat([boxes[indices], scores[indices, None]], 1))


def test_an_offset_of_one_counts_the_last_pixel_of_a_box():
    # As areas of pixels 0..3 and 2..5 overlap in 2 of 6; as lengths 3 and 3 in 1 of 5.
    boxes, scores = torch.tensor([[0.0, 0, 3, 0], [2, 0, 5, 0]]), torch.tensor([0.9, 0.8])
    assert mmcv.ops.nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]
    assert mmcv.ops.nms(boxes, scores, 0.34, offset=1)[1].tolist() == [0, 1]


@also_on_gpu
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_nms_takes_half_precision_and_keeps_its_type(dtype):
    boxes, scores = draw(30, dtype=dtype)
    expected = suppress(boxes.tolist(), scores.tolist(), 0.5)
    kept, indices = mmcv.ops.nms(boxes, scores, 0.5)
    assert kept.dtype == dtype and set(indices.tolist()) == set(expected)


def test_nms_of_arrays_above_a_score_up_to_a_number():
    boxes, scores = draw(40)
    kept, indices = mmcv.ops.nms(boxes.numpy(), scores.numpy(), 0.5, score_threshold=0.3, max_num=4)
    above = [i for i in suppress(boxes.tolist(), scores.tolist(), 0.5) if scores[i] > 0.3]
    assert isinstance(kept, np.ndarray) and indices.tolist() == above[:4]


def test_nms_of_no_boxes_is_none():
    kept, indices = mmcv.ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0, 5) and indices.shape == (0,)


@also_on_gpu
@pytest.mark.parametrize('split', [10000, 10])
def test_batched_nms_suppresses_within_classes(split):
    boxes, scores = draw(60)
    classes = torch.arange(60) % 3
    expected = []
    for number in range(3):
        rows = (classes == number).nonzero()[:, 0]
        expected += rows[suppress(boxes[rows].tolist(), scores[rows].tolist(), 0.4)].tolist()
    expected.sort(key=lambda i: -scores[i])
    kept, indices = mmcv.ops.batched_nms(boxes, scores, classes, dict(type='nms', iou_threshold=0.4, split_thr=split))
    assert indices.tolist() == expected
    assert torch.equal(kept, torch.cat([boxes[indices], scores[indices, None]], 1))


def soften(boxes, scores, threshold, sigma, least, method, offset):
    scores, left, kept = list(scores), list(range(len(boxes))), []
    while left:
        best = max(left, key=lambda i: scores[i])
        left.remove(best)
        kept.append((best, scores[best]))
        for other in left:
            overlap = iou(boxes[best], boxes[other], offset)
            if method == 'gaussian':
                scores[other] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= threshold:
                scores[other] *= 1 - overlap if method == 'linear' else 0
        left = [i for i in left if scores[i] >= least]
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms_lowers_scores_as_its_method_says(method, offset):
    boxes, scores = draw(40, dtype=torch.float64)
    settings = dict(iou_threshold=0.3, sigma=0.5, min_score=0.05, method=method, offset=offset)
    kept, indices = mmcv.ops.soft_nms(boxes, scores, **settings)
    expected = soften(boxes.tolist(), scores.tolist(), 0.3, 0.5, 0.05, method, offset)
    assert 3 < len(expected) < 40 and indices.tolist() == [index for index, _ in expected]
    assert torch.equal(kept[:, :4], boxes[indices])
    torch.testing.assert_close(kept[:, 4].tolist(), [score for _, score in expected])


def test_soft_nms_leaves_boxes_without_an_area_their_scores():
    # the example in the docstring of mmcv.ops.soft_nms
    boxes = np.array([[4.0, 3, 5, 3], [4, 3, 5, 4]] + [[3.0, 1, 3, 1]] * 4, dtype=np.float32)
    scores = np.array([0.9, 0.9, 0.5, 0.5, 0.4, 0.0], dtype=np.float32)
    for method in ('linear', 'gaussian'):
        kept, indices = mmcv.ops.soft_nms(boxes, scores, 0.6, sigma=0.5, method=method)
        assert indices.tolist() == [0, 1, 2, 3, 4] and np.allclose(kept[:, 4], scores[:5])


def test_soft_nms_is_a_type_of_batched_nms():
    boxes, scores = draw(30)
    config = dict(type='soft_nms', iou_threshold=0.3, min_score=0.05)
    kept, indices = mmcv.ops.batched_nms(boxes, scores, torch.zeros(30), config)
    expected = soften(boxes.tolist(), scores.tolist(), 0.3, 0.5, 0.05, 'linear', 0)
    assert indices.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(kept[:, 4].tolist(), [score for _, score in expected], rtol=1e-5, atol=1e-6)


def test_nms_match_groups_a_kept_box_with_those_that_it_suppresses():
    boxes, scores = draw(40)
    left, expected = sorted(range(40), key=lambda i: -scores[i]), []
    while left:
        group = [i for i in left if i == left[0] or iou(boxes[left[0]].tolist(), boxes[i].tolist()) >= 0.3]
        expected.append(group)
        left = [i for i in left if i not in group]
    found = mmcv.ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.3)
    assert [group.tolist() for group in found] == expected
    assert mmcv.ops.nms_match(np.zeros((0, 5), dtype=np.float32), 0.3) == []


@pytest.mark.parametrize('offset', [0, 1])
def test_overlaps_are_intersections_over_unions_or_over_the_first(offset):
    first, second = draw(5, 1)[0], draw(7, 2)[0]
    found = mmcv.ops.bbox_overlaps(first, second, offset=offset)
    expected = [[iou(a, b, offset) for b in second.tolist()] for a in first.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected))
    paired = mmcv.ops.bbox_overlaps(first, second[:5], aligned=True, offset=offset)
    torch.testing.assert_close(paired, found.diagonal())
    inside = torch.tensor([[1.0, 1, 3, 3]]), torch.tensor([[0.0, 0, 9, 9]])
    assert mmcv.ops.bbox_overlaps(*inside, mode='iof', offset=offset).item() == 1
