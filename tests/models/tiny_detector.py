"""The smallest detector that trains on a backbone."""

import torch
from mmdet.models import RetinaNet
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from torch import nn

#: An image of the detector, in pixels.
SIDE = 64


def two_iterations(backbone, channels):
    """Train a RetinaNet over the last three of four maps of a backbone.

    Args:
        backbone: maps (N, 3, 64, 64) to four maps.
        channels: of these maps.

    Returns:
        The loss of each iteration. The weights of the backbone are others then.
    """
    strides, width = [8, 16, 32, 64], 8
    with DefaultScope.overwrite_default_scope('mmdet'):
        anchors = dict(type='AnchorGenerator', octave_base_scale=4, scales_per_octave=1, ratios=[1.0], strides=strides)
        model = RetinaNet(
            backbone=dict(type=nn.Identity),
            neck=dict(type='FPN', in_channels=channels, out_channels=width, start_level=1, num_outs=len(strides)),
            bbox_head=dict(
                type='RetinaHead',
                num_classes=2,
                in_channels=width,
                feat_channels=width,
                stacked_convs=1,
                anchor_generator=anchors,
                bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
                loss_cls=dict(type='FocalLoss'),
                loss_bbox=dict(type='L1Loss'),
            ),
            train_cfg=dict(
                assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0),
                sampler=dict(type='PseudoSampler'),
                allowed_border=-1,
                pos_weight=-1,
            ),
        )
    model.backbone = backbone
    model.train()
    images = torch.randn(2, 3, SIDE, SIDE)
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.001)
    losses = []
    for _ in range(2):
        loss, _ = model.parse_losses(model.loss(images, [_sample() for _ in images]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def _sample():
    size = (SIDE, SIDE)
    sample = DetDataSample(metainfo=dict(img_shape=size, pad_shape=size, batch_input_shape=size))
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[8.0, 8, 40, 40]]), labels=torch.tensor([1]))
    return sample
