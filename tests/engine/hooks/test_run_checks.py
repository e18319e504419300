"""What would go wrong with DetCo in a run is refused, or named, before the first step."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.model import convert_sync_batchnorm
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import EpochBasedTrainLoop
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from detco_mm.engine.hooks import RunChecks
from tests.models.test_detco import build


@MODEL_WRAPPERS.register_module()
class OtherWrapper(nn.Module):
    """A wrapper that has no_sync, and is not DDP."""

    def __init__(self, module):
        super().__init__()
        self.module = module


class UnwiredDDP(DistributedDataParallel):
    """DDP without a process group."""

    def __init__(self, module):
        nn.Module.__init__(self)
        self.module = module


@pytest.fixture(scope='module')
def detco():
    return build()


def check(model, loader=None, loop=None, counts=1, **cfg):
    """Have RunChecks look at a run; return what it warns of."""
    warnings = []
    RunChecks().before_train(
        SimpleNamespace(
            model=model,
            cfg=cfg,
            optim_wrapper=SimpleNamespace(_accumulative_counts=counts),
            train_dataloader=loader or DataLoader(range(8), 4),
            train_loop=loop or SimpleNamespace(),
            world_size=1,
            hooks=[],
            logger=SimpleNamespace(warning=warnings.append),
        )
    )
    return warnings


def test_other_wrappers_than_ddp_are_refused(detco):
    with pytest.raises(ValueError, match='OtherWrapper around DetCo, .*: leave model_wrapper_cfg out'):
        check(OtherWrapper(detco))
    check(UnwiredDDP(detco))


def test_sharded_weights_are_refused_with_or_without_a_wrapper():
    model = build()
    # as fully_shard does
    model.backbone.layer4.__class__ = type('Sharded', (FSDPModule, type(model.backbone.layer4)), {})
    with pytest.raises(ValueError, match='DetCo around DetCo, whose key encoder and queue'):
        check(model)
    with pytest.raises(ValueError, match='UnwiredDDP around DetCo'):
        check(UnwiredDDP(model))


def test_accumulation_in_ddp_needs_a_loop_that_tells_where_a_step_ends(detco):
    with pytest.raises(ValueError, match='accumulative_counts=2 under .*detco_mm.ResumableTrainLoop'):
        check(UnwiredDDP(detco), counts=2)
    check(UnwiredDDP(detco), counts=2, loop=SimpleNamespace(marks_micro_batches=True))
    check(detco, counts=2)  # OptimWrapper tells it itself


def test_batches_that_cannot_be_known_or_never_end_are_refused(detco):
    images = range(8)
    batches = DataLoader(images, batch_sampler=BatchSampler(SequentialSampler(images), 4, False))
    with pytest.raises(ValueError, match='batch_sampler=BatchSampler: .* leave it out and set train_dataloader.batch'):
        check(detco, batches)
    endless = DataLoader(images, 4, sampler=InfiniteSampler(images, seed=0))
    with pytest.raises(ValueError, match='an epoch that never ends'):
        check(detco, endless, EpochBasedTrainLoop.__new__(EpochBasedTrainLoop))
    check(detco, endless)


def test_a_last_batch_that_makes_no_groups_is_refused():
    model = build(bn_splits=2)
    with pytest.raises(ValueError, match='bn_splits=2 and a batch of 3'):
        check(model, DataLoader(range(7), 4))
    check(model, DataLoader(range(7), 4, drop_last=True))


def test_sync_bn_that_the_runner_puts_in_gets_the_warning_too(monkeypatch):
    seen = []
    monkeypatch.setattr('detco_mm.models.bn_groups.print_log', lambda text, **_: seen.append(text))
    model = build()
    assert not any('SyncBN' in text for text in seen)
    check(convert_sync_batchnorm(model, 'torch'), sync_bn='torch')
    assert any('SyncBN in the pre-training backbone' in text for text in seen)
    assert isinstance(model.backbone.norm1, torch.nn.SyncBatchNorm)
