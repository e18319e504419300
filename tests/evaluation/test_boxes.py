"""Features within labelled boxes: pooled, cross-validated by image; and how embeddings lie."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from detco_mm.datasets.coco_labels import LabelError
from detco_mm.engine.bn_statistics import batch_statistics
from detco_mm.evaluation.boxes import LabelledBoxes, box_features, cross_validated, probe, read_boxes
from detco_mm.evaluation.embeddings import alignment, effective_rank, uniformity


def labelled(folder, count=8, classes=2, size=(60, 40)):
    """Images with two boxes each, the left of one class and the right of the next; on the left one is white."""
    annotations = []
    for at in range(count):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        image[10:30, 6:24] = 255
        Image.fromarray(image).save(folder / f'{at}.png')
        for part, x in enumerate((6, 36)):
            box = dict(bbox=[x, 10, 18, 20], area=360, iscrowd=0, id=len(annotations) + 1)
            annotations.append(dict(box, image_id=at, category_id=(at * 2 + part) % classes + 1))
    images = [dict(id=at, file_name=f'{at}.png', width=size[0], height=size[1]) for at in range(count)]
    categories = [dict(id=at + 1, name=f'class {at + 1}') for at in range(classes)]
    path = folder / 'labels.json'
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return path


class Pyramid(nn.Module):
    """Four maps of the pixels' means, behind a BN that does nothing but normalise."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, images):
        images = self.drop(self.norm(images))
        return tuple(functional.avg_pool2d(images, stride) for stride in (4, 8, 16, 32))


def test_a_box_is_the_mean_of_the_map_within_it_and_classes_are_told_apart(tmp_path):
    data = read_boxes(labelled(tmp_path), tmp_path, size=256, folds=2)
    assert data.images.shape == (8, 256, 256, 3) and data.labels.tolist() == [1, 2] * 8
    np.testing.assert_allclose(data.boxes[0], np.array([6 / 60, 10 / 40, 24 / 60, 30 / 40]) * 256)
    assert '16 boxes of 2 classes on 8 images' in data.describe() and 'frequent class is 50.0 %' in data.describe()
    model = Pyramid().eval()
    found = box_features(model, data, (0, 0, 0), (1, 1, 1), batch=3)
    assert found['res2'].shape == (16, 3)
    assert (found['res2'][::2] > 225).all() and (found['res2'][1::2] < 5).all()  # at its rim a box has parts of cells
    assert probe(model, data, (0, 0, 0), (1, 1, 1))['linear_res2'] == 1


def test_the_batch_is_normalised_by_itself_and_the_network_is_left_as_it_was():
    model, images = Pyramid().train(), 5 + torch.rand(4, 3, 32, 32)
    model.norm.eval()
    frozen = Pyramid()
    frozen.drop.p = 0.0
    expected = frozen.train()(images)
    other = Pyramid().train()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    statistics = other.norm.running_mean
    with batch_statistics(other) as count:
        maps = other(images)
        assert count == 1 and not other.drop.training
    assert all(torch.equal(one, two) for one, two in zip(maps, expected, strict=True))
    assert all(torch.equal(other.state_dict()[name], value) for name, value in before.items())
    assert other.norm.training and other.drop.training and other.norm.running_mean is statistics
    with batch_statistics(model) as count:  # BN that is frozen stays so
        assert count == 0
        torch.testing.assert_close(model(images)[0], functional.avg_pool2d(images, 4) / math.sqrt(1 + 1e-5))


def test_sync_bn_waits_for_nobody():
    network = nn.SyncBatchNorm(3).train()
    with batch_statistics(network):  # in training mode it would refuse a CPU, and on a GPU wait for all ranks
        assert abs(float(network(5 + torch.rand(4, 3, 8, 8)).mean().detach())) < 1e-3


def test_boxes_of_one_image_stay_in_one_fold():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    places = np.repeat(np.arange(60), 4)
    # features tell the image and nothing else; with an image in both parts, its label would be known
    features = np.eye(60, dtype=np.float32)[places] + 0.01 * generator.normal(size=(240, 60)).astype(np.float32)
    data = LabelledBoxes(np.zeros((60, 1, 1, 3), np.uint8), np.zeros((240, 4), np.float32), places, labels[places], 5)
    assert max(cross_validated(features, data).values()) < 0.7
    separable = np.c_[features[:, :5], 3 * np.eye(2, dtype=np.float32)[data.labels]]
    assert min(cross_validated(separable, data).values()) > 0.95


def test_labels_that_are_of_no_use_are_said_in_one_line(tmp_path):
    path = labelled(tmp_path, count=4, classes=4)
    with pytest.raises(ValueError, match=r'probe of 5 folds.*needs each on 5 images.*1: 2, ') as said:
        read_boxes(path, tmp_path)
    assert '\n' not in str(said.value)
    assert read_boxes(path, tmp_path, folds=2).left_out == 0
    with pytest.raises(ValueError, match='folds=1 of a probe: it is at least 2'):
        read_boxes(path, tmp_path, folds=1)
    (tmp_path / '2.png').unlink()
    with pytest.raises(LabelError, match=r'2\.png'):
        read_boxes(path, tmp_path, folds=2)


def test_of_more_boxes_the_same_are_drawn_each_time(tmp_path):
    path = labelled(tmp_path, count=8)
    one, other = (read_boxes(path, tmp_path, folds=2, size=32, max_boxes=9) for _ in range(2))
    assert len(one.labels) == 8 and np.array_equal(one.images, other.images)


def test_rank_alignment_and_uniformity_of_what_is_known():
    line, square = torch.ones(50, 8) / math.sqrt(8), torch.eye(8).repeat(4, 1)
    assert effective_rank(line) == pytest.approx(1, abs=1e-3) and effective_rank(square) == pytest.approx(8, abs=1e-3)
    assert alignment(square, square) == 0 and alignment(torch.eye(8), torch.eye(8).roll(1, 0)) == 2
    assert uniformity(line) == pytest.approx(0, abs=1e-5)
    assert uniformity(torch.eye(8)) == pytest.approx(-4, abs=1e-5)  # all at right angles: exp(-2 * 2)
