"""Over how many images the key encoder's BN takes its statistics, and who is told."""

import logging

import pytest
from mmengine.logging import MMLogger

from detco_mm.models.bn_groups import number_of_groups
from tests.models.zoo import SMALL, build, views


@pytest.mark.parametrize(
    ('images', 'groups'), [(256, 8), (64, 4), (32, 2), (48, 3), (16, 2), (9, 3), (6, 2), (5, 1), (2, 1)]
)
def test_one_process_imitates_as_many_gpus_as_leave_each_enough_images(images, groups):
    assert number_of_groups(images) == groups


@pytest.mark.parametrize(('images', 'splits'), [(6, 4), (5, 4), (4, 4), (3, 2)])
def test_groups_that_are_not_equal_or_hold_one_image_are_refused(images, splits):
    model = build(SMALL['ResNet-18'], bn_splits=splits, queue_len=16)
    with pytest.raises(ValueError, match=f"bn_splits={splits} and a batch of {images}: .*bn_splits='auto'"):
        model.loss(views(images))


def test_auto_groups_are_logged_and_a_run_that_could_leak_is_told(tmp_path):
    logger = MMLogger.get_instance(str(tmp_path), log_file=str(tmp_path / 'log'))
    build(SMALL['ResNet-18'], bn_splits='auto', queue_len=16).loss(views(4))
    assert 'over 2 groups of 2 of the shuffled batch' in (tmp_path / 'log').read_text()
    assert 'may recognise' not in (tmp_path / 'log').read_text()
    build(SMALL['ResNet-18'], queue_len=16).loss(views(4))
    assert (tmp_path / 'log').read_text().count("set model.shuffle_bn=True and model.bn_splits='auto'") == 1
    build(SMALL['ResNet-18'], shuffle_bn=False, bn_splits=2, queue_len=16).loss(views(4))
    assert (tmp_path / 'log').read_text().count("set model.shuffle_bn=True and model.bn_splits='auto'") == 2
    build(SMALL['Swin'], queue_len=16).loss(views(4))
    assert 'no BN in the key encoder: its batch is neither shuffled nor split' in (tmp_path / 'log').read_text()
    assert 'norm_eval' not in (tmp_path / 'log').read_text()
    build(dict(SMALL['ResNetV1d-18'], norm_eval=True))
    assert 'set model.backbone.norm_eval=False' in (tmp_path / 'log').read_text()
    (handler,) = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    handler.close()
    logger.removeHandler(handler)
