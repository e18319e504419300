"""The segmenter against the recipe that it follows: He et al. (arXiv 1911.05722), appendix A.5."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip('mmcv.ops')
pytest.importorskip('mmseg')

from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from mmselfsup.models.backbones import ResNet
from torch import nn

FCN = Path(__file__).parents[2] / 'configs/mmseg/fcn_r50-d16_90k_cityscapes-769x769.py'


@pytest.fixture
def config():
    init_default_scope('mmseg')
    return Config.fromfile(FCN)


@pytest.fixture
def model(config):
    return MODELS.build(config.model)


def shape(conv):
    return conv.in_channels, conv.out_channels, *conv.kernel_size[:1], *conv.stride[:1], *conv.dilation[:1]


def test_the_schedule_is_mocos(config):
    assert (config.train_cfg.type, config.train_cfg.max_iters) == ('IterBasedTrainLoop', 90000)
    optimizer = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)
    assert config.optim_wrapper.optimizer == optimizer and not config.optim_wrapper.clip_grad
    (steps,) = config.param_scheduler
    milestones = [round(share * 90000) for share in (0.7, 0.9)]
    assert steps == dict(type='MultiStepLR', by_epoch=False, begin=0, end=90000, milestones=milestones, gamma=0.1)
    assert config.train_dataloader.batch_size * 8 == config.auto_scale_lr.base_batch_size == 16
    assert 90000 % config.train_cfg.val_interval == 0 == 90000 % config.default_hooks.checkpoint.interval


def test_images_are_scaled_cropped_and_flipped_and_nothing_else(config):
    training = config.train_dataloader.dataset
    assert [step.type for step in training.pipeline] == [
        'LoadImageFromFile', 'LoadAnnotations', 'RandomResize', 'RandomCrop', 'RandomFlip', 'PackSegInputs'
    ]  # fmt: skip
    resize, crop, flip = training.pipeline[2:5]
    assert (resize.scale, resize.ratio_range, resize.keep_ratio) == ((2048, 1024), (0.5, 2.0), True)
    assert crop == dict(type='RandomCrop', crop_size=(769, 769)) and flip.prob == 0.5
    assert config.model.data_preprocessor.size == (769, 769)  # half an image is smaller than the crop
    assert [dataset.data_prefix.img_path for dataset in (training, config.test_dataloader.dataset)] == [
        'leftImg8bit/train', 'leftImg8bit/val'
    ]  # fmt: skip


def test_whole_images_of_their_own_size_are_tested_on_the_grid_of_the_crop(config):
    assert config.model.test_cfg == dict(mode='whole')
    evaluator = config.test_evaluator
    assert (evaluator.type, evaluator.iou_metrics) == ('IoUMetric', ['mIoU'])
    (resize,) = (step for step in config.test_dataloader.dataset.pipeline if 'Resize' in step.type)
    assert resize.scale == (2048, 1024)
    padded = config.model.data_preprocessor.test_cfg.size
    assert padded == (1025, 2049) and all(side % 16 == 1 for side in (*padded, 769))
    assert config.model.decode_head.align_corners


def test_colours_reach_the_network_as_rgb_with_torchvisions_statistics(config, model, tmp_path):
    folders = [tmp_path / part / 'val/aachen' for part in ('leftImg8bit', 'gtFine')]
    for folder in folders:
        folder.mkdir(parents=True)
    bgr = np.full((1024, 2048, 3), (10, 100, 200), np.uint8)
    cv2.imwrite(str(folders[0] / 'aachen_0_leftImg8bit.png'), bgr)
    cv2.imwrite(str(folders[1] / 'aachen_0_gtFine_labelTrainIds.png'), np.full((1024, 2048), 18, np.uint8))
    config.test_dataloader.dataset.data_root = str(tmp_path)
    (item,) = DATASETS.build(config.test_dataloader.dataset)
    batch = model.data_preprocessor(pseudo_collate([item]), training=False)
    assert batch['inputs'].shape == (1, 3, 1025, 2049) and not batch['inputs'][..., -1].any()
    expected = (torch.tensor([200, 100, 10]) - torch.tensor([123.675, 116.28, 103.53])) / torch.tensor(
        [58.395, 57.12, 57.375]
    )
    torch.testing.assert_close(batch['inputs'][0, :, 500, 1000], expected)
    assert batch['data_samples'][0].gt_sem_seg.data.unique().tolist() == [18]  # labels are not padded


def test_a_crop_of_half_an_image_is_padded_with_what_is_ignored(config, model, tmp_path):
    image, labels = tmp_path / 'image.png', tmp_path / 'labels.png'
    cv2.imwrite(str(image), np.full((1024, 2048, 3), 255, np.uint8))
    cv2.imwrite(str(labels), np.zeros((1024, 2048), np.uint8))
    pipeline = config.train_dataloader.dataset.pipeline
    pipeline[2].ratio_range = (0.5, 0.5)
    steps = Compose([TRANSFORMS.build(step) for step in pipeline])
    item = steps(dict(img_path=str(image), seg_map_path=str(labels), seg_fields=[], reduce_zero_label=False))
    batch = model.data_preprocessor(pseudo_collate([item]), training=True)
    labels = batch['data_samples'][0].gt_sem_seg.data[0]
    assert batch['inputs'].shape[2:] == labels.shape == (769, 769)
    assert labels[:512].unique().tolist() == [0] and labels[512:].unique().tolist() == [255]


def test_the_backbone_is_resnet_50_at_stride_16_with_res5_dilated(model):
    exported = ResNet(50, norm_cfg=dict(type='BN')).state_dict()
    own = model.backbone.state_dict()
    assert {name: tensor.shape for name, tensor in own.items()} == {n: t.shape for n, t in exported.items()}
    res5 = model.backbone.layer4
    assert [shape(block.conv2)[2:] for block in res5] == [(3, 1, 2)] * 3
    assert shape(res5[0].conv1)[2:] == shape(res5[0].downsample[0])[2:] == (1, 1, 1)
    model.eval()
    assert model.extract_feat(torch.zeros(1, 3, 65, 97))[-1].shape == (1, 2048, 5, 7)


def test_the_head_is_two_dilated_convolutions_and_a_classifier(model):
    head = model.decode_head
    assert [shape(layer.conv) for layer in head.convs] == [(2048, 256, 3, 1, 6), (256, 256, 3, 1, 6)]
    assert all(isinstance(layer.bn, nn.SyncBatchNorm) and isinstance(layer.activate, nn.ReLU) for layer in head.convs)
    assert shape(head.conv_seg) == (256, 19, 1, 1, 1)
    assert not hasattr(head, 'conv_cat') and head.dropout is None and not model.with_auxiliary_head


def test_the_loss_is_the_mean_over_labelled_pixels(model):
    torch.manual_seed(0)
    labels = torch.randint(19, (2, 1, 8, 8))
    labels[0, :, :6] = labels[1, :, 2] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    logits = torch.randn(2, 19, 8, 8)
    loss = model.decode_head.loss_by_feat(logits, samples)['loss_ce']
    torch.testing.assert_close(loss, nn.functional.cross_entropy(logits, labels[:, 0], ignore_index=255))


def test_every_weight_and_every_statistic_is_trained(model):
    model.train()
    assert all(parameter.requires_grad for parameter in model.parameters())
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 55 and all(isinstance(norm, nn.SyncBatchNorm) and norm.training for norm in norms)
