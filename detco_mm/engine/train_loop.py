"""ResumableTrainLoop: epochs that go on where they were stopped, bit for bit."""

import copy
import signal
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from detco_mm.datasets.sampler import ResumableSampler
from detco_mm.engine.checks import check_batches
from detco_mm.engine.hooks.stop_on_signal import SIGNALS
from detco_mm.engine.pixels import settle_pixels
from detco_mm.engine.settings import spelled_out
from detco_mm.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """MMEngine's EpochBasedTrainLoop, resumed in the middle of an epoch; arguments as there.

    It needs detco_mm.ResumableSampler. A checkpoint says which epoch it is from, at which step that began and how long
    it is; where the length is another now (another batch or number of GPUs), the epoch starts anew. What a step draws
    at random comes from (seed, step, rank). A hook that sets ``stop_training`` ends the epoch after the step. A
    config's ``data`` is followed as the tools follow it. Under gradient accumulation the model's own ``no_sync`` is
    entered, whatever wraps it, for each micro-batch after which the optimizer does not step.

    Raises:
        ValueError: if the sampler is another one, or the images make no batch.
    """

    marks_micro_batches = True

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, *args: Any, **kwargs: Any) -> None:
        if isinstance(dataloader, dict) and runner.cfg.get('data'):
            # A Runner that no tool has built trains on the images that the config's data.root names, too, and reads
            # them as data says. The model is built already: RunChecks compares its channels.
            model = copy.deepcopy(runner.cfg.get('model'))
            cfg = Config(dict(train_dataloader=dataloader, data=dict(runner.cfg.data), model=model))
            cfg.merge_from_dict(spelled_out({}, cfg))
            settle_pixels(cfg)
            dataloader = cfg.train_dataloader
        super().__init__(runner, dataloader, *args, **kwargs)
        if not isinstance(self.dataloader.sampler, ResumableSampler):
            raise ValueError(
                f'ResumableTrainLoop with {type(self.dataloader.sampler).__name__}, which cannot start in the middle '
                "of an epoch: set train_dataloader.sampler.type='detco_mm.ResumableSampler', or train_cfg.type to "
                "MMEngine's 'EpochBasedTrainLoop'"
            )
        check_batches(self.dataloader)

    def run(self) -> nn.Module:
        """Train."""
        handlers = [signal.getsignal(number) for number in SIGNALS]
        try:
            return super().run()
        finally:  # StopOnSignal gives back its handlers after training, but not if that ends with an error
            for number, handler in zip(SIGNALS, handlers, strict=True):
                signal.signal(number, handler)

    def run_epoch(self) -> None:
        """Go through the rest of an epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._batches_done()
        self.dataloader.sampler.resume(self.runner.seed, done * self.dataloader.batch_size)
        for index, batch in enumerate(self.dataloader, start=done):
            self.run_iter(index, batch)
            if self.stop_training:
                return
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Take one step."""
        seed = np.random.SeedSequence((self.runner.seed, self._iter, get_rank())).generate_state(1)[0]
        torch.manual_seed(int(seed))
        with self._within_optimizer_step():
            super().run_iter(idx, data_batch)

    def _within_optimizer_step(self) -> AbstractContextManager:
        """Tell a model inside a wrapper that its optimizer does not step yet; no wrapper passes that on."""
        model = self.runner.model
        told = is_model_wrapper(model) and hasattr(model.module, 'no_sync')
        if told and not self.runner.optim_wrapper.should_sync():
            return model.module.no_sync()
        return nullcontext()

    def _batches_done(self) -> int:
        """How many batches of this epoch a resumed run has behind it; notes for checkpoints where the epoch began."""
        hub, length = self.runner.message_hub, len(self.dataloader)
        if hub.get_info('epoch_number') == self._epoch:
            done = self._iter - hub.get_info('epoch_start')
            if hub.get_info('epoch_length') == length:
                return done
            self.runner.logger.warning(
                f'epoch {self._epoch + 1} starts anew: {done} of its {hub.get_info("epoch_length")} steps are done, '
                f'but with this batch and number of GPUs it has {length}'
            )
        hub.update_info_dict(dict(epoch_number=self._epoch, epoch_start=self._iter, epoch_length=length))
        return 0
