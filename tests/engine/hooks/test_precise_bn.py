"""Statistics of BN, taken anew."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from detco_mm.engine.hooks import PreciseBN


class Numbers(Dataset):
    """Twelve items; it remembers which were read."""

    def __init__(self):
        self.values = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)) * 5 + 7
        self.read = []

    def __len__(self):
        return 12

    def __getitem__(self, index):
        self.read.append(index)
        return dict(inputs=self.values[index])


class Normalised(BaseModel):
    """One BN, which asks to be run as in training."""

    def __init__(self, norm_eval=False):
        super().__init__()
        self.bn = nn.BatchNorm1d(3)
        self.norm_eval = norm_eval
        self.modes = []

    def train(self, mode=True):
        super().train(mode)
        if self.norm_eval:
            self.bn.eval()
        return self

    def forward(self, inputs, mode='tensor'):
        self.modes.append(mode)
        return dict(loss=self.bn(torch.stack(list(inputs)) if not isinstance(inputs, torch.Tensor) else inputs).mean())


def train(tmp_path, model, iters=5, **hook):
    dataset = Numbers()
    runner = Runner(
        model,
        str(tmp_path),
        train_dataloader=dict(
            dataset=dataset, batch_size=4, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=True)
        ),
        train_cfg=dict(by_epoch=False, max_iters=iters),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        custom_hooks=[PreciseBN(**hook)] if hook else [],
        default_hooks=dict(checkpoint=None),
        randomness=dict(seed=0),
        experiment_name=tmp_path.name,
    )
    runner.train()
    return dataset


def test_the_running_mean_is_that_of_the_batches_and_not_a_moving_average(tmp_path):
    model = Normalised()
    dataset = train(tmp_path, model, interval=5, num_iters=6)
    torch.testing.assert_close(model.bn.running_mean, dataset.values.mean(0))  # six batches of four: each item twice
    assert model.modes == ['loss'] * 11
    assert model.bn.momentum == 0.1 and model.bn.training


def test_training_goes_on_in_its_own_order(tmp_path):
    alone = train(tmp_path / 'a', Normalised()).read
    together = train(tmp_path / 'b', Normalised(), interval=2, num_iters=3).read
    # the hook reads its twelve items after the second and the fourth batch of four
    assert together[:8] + together[20:28] + together[40:] == alone


def test_a_bn_that_stays_in_evaluation_mode_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r'1 BN layers stay in evaluation mode \(bn, ...\)'):
        train(tmp_path, Normalised(norm_eval=True), interval=1)


@pytest.mark.parametrize('arguments', [dict(interval=0), dict(interval=1, num_iters=0)])
def test_a_number_below_one_is_refused(arguments):
    with pytest.raises(ValueError, match='at least 1'):
        PreciseBN(**arguments)
