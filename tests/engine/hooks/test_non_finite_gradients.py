"""Gradients that are not finite though the losses are, and those that a loss scaler makes so by design."""

import math

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import nn

from detco_mm.engine.hooks import StopOnNonFinite
from tests.engine.hooks.runs import log, stop


class Squares(BaseModel):
    """A model of one weight, whose loss is finite and whose gradient may not be."""

    def __init__(self, broken_at=(), value=math.nan):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.steps, self.broken_at, self.value = 0, broken_at, value

    def forward(self, inputs, mode):
        self.steps += 1
        loss = self.scale.sum() * 10
        if self.steps in self.broken_at:
            # sqrt has an infinite slope at 0, and infinity times 0 is no number
            loss = loss + (self.scale * 0).sqrt().sum() if self.value == 'gradient' else loss * self.value
        return dict(loss=loss)


class ScaledOnCPU(AmpOptimWrapper):
    """MMEngine's wrapper with PyTorch's scaler, without MMEngine's demand for a GPU."""

    def __init__(self, init_scale, **kwargs):
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=init_scale)
        self._scale_update_param = None

    optim_context = OptimWrapper.optim_context


OPTIM_WRAPPERS.register_module(module=ScaledOnCPU, force=True)


def one_weight(tmp_path, model, steps, max_skips=0, **wrapper):
    optimizer = wrapper.pop('optimizer', {})
    if 'type' not in optimizer:
        optimizer = dict(type='SGD', lr=0.125, momentum=0.5, **optimizer)
    return Runner(
        model,
        str(tmp_path),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.zeros(1))] * steps,
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=False, max_iters=steps),
        optim_wrapper=dict(optimizer=optimizer, **wrapper),
        custom_hooks=[StopOnNonFinite(max_skips)],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)),
        experiment_name=str(tmp_path),
    )


# AdamW would divide by the root of infinity from the latter on, and stand still.
@pytest.mark.parametrize('value', ['gradient', 1e20])
def test_where_all_losses_are_finite_the_weights_are_named_whose_gradients_are_not(tmp_path, value):
    runner = one_weight(tmp_path, Squares(broken_at=[2], value=value), 3)
    assert 'step 2: all losses are finite, but 1 of 1 gradients are not: scale' in stop(runner)
    assert runner.model.scale.tolist() == [-0.25, -0.25]  # 1 - 0.125 * 10


@pytest.mark.parametrize('fused', [False, True])
def test_overflows_of_the_loss_scale_are_left_to_its_scaler(tmp_path, fused):
    model = Squares()
    # gradients of 10 overflow at scales of 2^127, 2^126 and 2^125, and not at 2^124
    runner = one_weight(tmp_path, model, 5, type='ScaledOnCPU', init_scale=2.0**127, optimizer=dict(fused=fused))
    runner.train()
    assert runner.optim_wrapper.loss_scaler.get_scale() == 2.0**124
    # two steps: momentum 10, then 15
    assert model.scale.tolist() == [1 - 0.125 * 25] * 2
    assert runner.optim_wrapper.optimizer.state[model.scale]['momentum_buffer'].tolist() == [15, 15]
    assert 'skipped' not in log(tmp_path)


@pytest.mark.parametrize('fused', [False, True])
def test_a_loss_that_is_not_finite_is_not_taken_for_an_overflow_of_its_scale(tmp_path, fused):
    options = dict(type='ScaledOnCPU', init_scale=4.0, optimizer=dict(fused=fused))
    message = stop(one_weight(tmp_path / 'stops', Squares(broken_at=[2]), 3, **options))
    assert 'step 2: the loss is not finite' in message
    model = Squares(broken_at=[2])
    one_weight(tmp_path / 'skips', model, 3, max_skips=1, **options).train()
    assert model.scale.tolist() == [1 - 0.125 * 25] * 2
    assert 'step 2 is skipped' in log(tmp_path / 'skips')


@pytest.mark.parametrize('fused', [False, True])
def test_gradients_that_no_scale_makes_finite_stop_the_run_at_a_scale_of_one(tmp_path, fused):
    model = Squares(broken_at=range(100), value='gradient')
    options = dict(type='ScaledOnCPU', init_scale=4.0, optimizer=dict(fused=fused))
    message = stop(one_weight(tmp_path, model, 10, **options))
    assert 'loss scale' in message and model.steps < 6
    assert model.scale.tolist() == [1, 1]
