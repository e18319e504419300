"""RunChecks: what can be known to go wrong before the first step."""

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.hooks import Hook
from mmengine.model import MMSeparateDistributedDataParallel, is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from torch.nn.parallel import DistributedDataParallel

from detco_mm.engine.checks import check_contrast_batches
from detco_mm.engine.hooks.stop_on_non_finite import StopOnNonFinite
from detco_mm.registry import HOOKS


@HOOKS.register_module()
class RunChecks(Hook):
    """Compare queue, batch and data set before training starts; a model without DetCo's queue is skipped.

    Raises:
        ValueError: from ``before_train``, if the keys of one optimizer step do not fit the queue, ``bn_splits`` does
            not divide a batch, batches differ between ranks, the model is wrapped by another class than DDP, nobody
            would tell it which micro-batch ends an optimizer step, or fused SGD would go on from an overflow of fp16.
    """

    def before_train(self, runner: Runner) -> None:
        """Refuse a queue shorter than a step's keys; warn of one longer than the data set, and of inexact resuming."""
        self._check_fused_sgd(runner)
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(getattr(model, 'queue', None), 'check_batch'):
            return
        accumulated = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        _check_wrapper(runner, accumulated)
        _check_channels(runner, model)
        loader = runner.train_dataloader
        if isinstance(loader.sampler, InfiniteSampler) and isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise ValueError(
                'InfiniteSampler makes an epoch that never ends: set train_dataloader.sampler.type='
                "'detco_mm.ResumableSampler', or train_cfg.type='IterBasedTrainLoop'"
            )
        last = check_contrast_batches(loader)
        if hasattr(model, 'bn_groups'):
            model.bn_groups(loader.batch_size)
            model.bn_groups(last)
        if hasattr(model, 'check_norms') and runner.cfg.get('sync_bn'):
            model.check_norms()  # the Runner has replaced them since the model was built
        model.queue.check_batch(loader.batch_size * runner.world_size * accumulated)
        if model.queue.length > len(loader.dataset):
            runner.logger.warning(
                f'queue of {model.queue.length} keys over a data set of {len(loader.dataset)} images: images meet '
                'older keys of their own as negatives, which teaches the wrong thing; lower model.queue_len below '
                'the number of images'
            )
        if len(loader) % accumulated:
            runner.logger.warning(
                f'an epoch of {len(loader)} micro-batches ends within an optimizer step of {accumulated}: a checkpoint '
                'of its end lacks the gradients so far, and a resumed run differs from an uninterrupted one; choose '
                'a batch size or optim_wrapper.accumulative_counts that divides'
            )

    @staticmethod
    def _check_fused_sgd(runner: Runner) -> None:
        """Refuse fused SGD under loss scaling where nobody keeps an overflow from it.

        Loss scaling begins with steps that overflow and are skipped. PyTorch 2.14's fused SGD leaves the momentum of a
        skipped first step as memory that nobody wrote, and goes on from there. StopOnNonFinite takes the gradients away
        before that.
        """
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        fused = isinstance(optimizer, torch.optim.SGD) and any(group.get('fused') for group in optimizer.param_groups)
        scaled = hasattr(runner.optim_wrapper, 'loss_scaler')
        if fused and scaled and not any(isinstance(hook, StopOnNonFinite) for hook in runner.hooks):
            raise ValueError(
                'fused SGD with loss scaling, without the hook detco_mm.StopOnNonFinite: a first step that overflows '
                'would leave momentum undefined; keep default_hooks.stop_on_non_finite, or set '
                'optim_wrapper.optimizer.fused=False'
            )


def _check_wrapper(runner: Runner, accumulated: int) -> None:
    """Refuse wrappers in which DetCo would not be what it is.

    Its key encoder is averaged weight by weight, and its queue is the same on every rank: neither is where a wrapper
    keeps a part of each weight on each rank, as FSDP does.
    """
    model = runner.model
    sharded = any(isinstance(module, FSDPModule | FullyShardedDataParallel) for module in model.modules())
    wrapped = is_model_wrapper(model)
    is_ddp = isinstance(model, DistributedDataParallel) and not isinstance(model, MMSeparateDistributedDataParallel)
    if sharded or (wrapped and not is_ddp):
        raise ValueError(
            f'{type(model).__name__} around DetCo, whose key encoder and queue have to be complete on every rank and '
            'move once an optimizer step: leave model_wrapper_cfg out, which means DDP'
        )
    if wrapped and accumulated > 1 and not getattr(runner.train_loop, 'marks_micro_batches', False):
        raise ValueError(
            f'optim_wrapper.accumulative_counts={accumulated} under {type(runner.train_loop).__name__}, which does not '
            'tell the model inside DDP where an optimizer step ends, so that the queue would move in every '
            "micro-batch: set train_cfg.type='detco_mm.ResumableTrainLoop', or accumulative_counts to 1"
        )


def _check_channels(runner: Runner, model: nn.Module) -> None:
    """Refuse images of other channels than the preprocessor or the first convolution takes."""
    pipeline = getattr(runner.train_dataloader.dataset, 'pipeline', None)
    stated = [step.pixels.channels for step in getattr(pipeline, 'transforms', ()) if hasattr(step, 'pixels')]
    if not stated:
        return
    moments = getattr(model.data_preprocessor, 'mean', None)
    layers = [module for name, module in model.named_modules() if name.startswith('backbone')]
    first = next((module for module in layers if isinstance(module, nn.Conv2d)), None)
    normalised = stated[0] if moments is None else moments.numel()
    # a stem that moves space to depth takes a multiple
    fits = first is None or first.in_channels % stated[0] == 0
    if normalised != stated[0] or not fits:
        raise ValueError(
            f'images of {stated[0]} channels, mean and std of {normalised}, a first convolution of '
            f'{first.in_channels if first else stated[0]}: set data.channels={stated[0]} on the command line or in the '
            "config, which the tools carry to all of them, or DetCoViews' pixels, model.data_preprocessor and "
            'model.backbone.in_channels by hand'
        )
