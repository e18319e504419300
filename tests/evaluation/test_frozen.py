"""Frozen features: crops, pooled stages, kNN and linear accuracy."""

import json

import numpy as np
import pytest
import torch
from mmselfsup.models.backbones import ResNet
from PIL import Image

from detco_mm.evaluation.frozen import accuracies, object_crops, stage_features


def annotated(folder, boxes, **extra):
    """An image that is black but for white boxes (left, top, width, height)."""
    image = np.zeros((60, 100, 3), np.uint8)
    for left, top, width, height in boxes:
        image[top : top + height, left : left + width] = 255
    Image.fromarray(image).save(folder / 'a.png')
    objects = [dict(image_id=7, category_id=at + 1, bbox=box, **extra) for at, box in enumerate(boxes)]
    file = folder / 'a.json'
    file.write_text(json.dumps(dict(images=[dict(id=7, file_name='a.png')], annotations=objects)))
    return file


def test_each_object_is_cut_out_as_a_square_with_its_surroundings(tmp_path):
    boxes = [[20, 20, 20, 10], [0, 0, 10, 20], [90, 50, 10, 10], [50, 5, 2, 2]]  # free, two corners, too small
    crops, labels = object_crops(annotated(tmp_path, boxes), tmp_path, 24)
    assert crops.shape == (3, 24, 24, 3) and labels.tolist() == [1, 2, 3]
    whiteness = (crops > 127).mean((1, 2, 3))
    # A square 1.2 times as long as the longer side: the object's own share of it.
    np.testing.assert_allclose(whiteness, [200 / 24**2, 200 / 24**2, 100 / 12**2], atol=0.03)
    assert crops[0, 12, 12].tolist() == [255] * 3 and crops[2, -1, -1].tolist() == [255] * 3


def test_a_set_without_objects_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no object of at least 8 pixels'):
        object_crops(annotated(tmp_path, [[20, 20, 20, 10]], iscrowd=1), tmp_path, 24)


def test_features_are_the_pooled_maps_of_each_stage_in_evaluation_mode():
    torch.manual_seed(0)
    backbone = ResNet(18, norm_cfg=dict(type='BN'), out_indices=(1, 2, 3, 4))
    backbone(torch.randn(8, 3, 64, 64))
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    mean, std = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
    backbone.train()
    found = stage_features(backbone, images, mean, std, batch=2)
    assert [found[stage].shape for stage in ('res2', 'res3', 'res4', 'res5')] == [(5, c) for c in (64, 128, 256, 512)]
    pixels = (images[3].astype(np.float32) - mean) / std
    backbone.eval()
    with torch.no_grad():
        maps = backbone(torch.from_numpy(pixels.transpose(2, 0, 1))[None].float())
    np.testing.assert_allclose(found['res4'][3], maps[2].mean((2, 3))[0].numpy(), rtol=1e-4, atol=1e-5)


def test_separable_classes_are_found_and_noise_is_not():
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 4
    noise = generator.normal(size=(200, 16)).astype(np.float32)
    separable = noise + 6 * np.eye(4, 16, dtype=np.float32)[labels]
    assert min(accuracies(separable[:100], labels[:100], separable[100:], labels[100:]).values()) > 0.95
    assert max(accuracies(noise[:100], labels[:100], noise[100:], labels[100:]).values()) < 0.45
