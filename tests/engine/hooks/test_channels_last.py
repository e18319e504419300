"""Channels last changes where numbers lie, not what they are."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from detco_mm.engine.hooks import ChannelsLast

IMAGES = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Convolutions(BaseModel):
    """Two of them with a BN between; it remembers the layout of what came out."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 3))
        self.last = None

    def forward(self, inputs, mode='tensor'):
        found = self.layers(inputs)
        self.last = found.is_contiguous(memory_format=torch.channels_last)
        return dict(loss=found.square().mean())


def train(work_dir, optimizer, iters, hooks=(), resume=False):
    torch.manual_seed(0)
    runner = Runner(
        Convolutions(),
        str(work_dir),
        train_dataloader=dict(
            dataset=[dict(inputs=image) for image in IMAGES],
            batch_size=8,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=False, max_iters=iters),
        optim_wrapper=dict(optimizer=dict(optimizer, fused=True)),
        default_hooks=dict(checkpoint=dict(type='detco_mm.SafeCheckpoint', by_epoch=False, interval=2)),
        custom_hooks=[hook() for hook in hooks],
        resume=resume,
        randomness=dict(seed=0),
        experiment_name=f'{work_dir}-{iters}-{resume}',  # MMEngine keeps a Runner's logger under its name
    )
    runner.train()
    return runner


@pytest.mark.parametrize('optimizer', [dict(type='SGD', lr=0.3, momentum=0.9), dict(type='AdamW', lr=0.01)])
def test_a_run_goes_on_with_channels_last_as_it_would_have_without(tmp_path, optimizer):
    plain = train(tmp_path / 'plain', optimizer, 4)
    train(tmp_path / 'run', optimizer, 2)
    runner = train(tmp_path / 'run', optimizer, 4, [ChannelsLast], resume=True)
    assert runner.iter == 4
    assert runner.model.last and not plain.model.last
    for (name, weight), other in zip(runner.model.named_parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-6, msg=name)
        moments = [moment for moment in runner.optim_wrapper.optimizer.state[weight].values() if moment.ndim == 4]
        assert weight.ndim != 4 or moments
        for tensor in (weight, *moments):
            assert tensor.ndim != 4 or tensor.is_contiguous(memory_format=torch.channels_last), name
