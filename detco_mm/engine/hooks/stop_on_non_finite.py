"""StopOnNonFinite: a step whose loss or gradient is not finite changes no weight and reaches no checkpoint."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from detco_mm.engine.errors import RunStopped
from detco_mm.registry import HOOKS

#: How many images or weights, and how many ranks, a message names.
SHOWN, RANKS_SHOWN = 8, 4
SCALED = 'gradients are not, not even at a loss scale below 1'
MEND = (
    'Fix or remove images with non-finite pixels. Otherwise lower the learning rate or lengthen its warm-up, '
    'clip gradients (optim_wrapper.clip_grad.max_norm), or train without --amp. Checkpoints written before '
    'are intact, but --resume alone meets the same batches; to skip a few such steps, raise '
    'default_hooks.stop_on_non_finite.max_skips'
)


def non_finite(tensors: Sequence[Tensor]) -> Tensor:
    """Whether each of some tensors of one device holds a number that is not finite; waits for nothing.

    So counts a tensor, too, whose L2 norm is above 1.8e19, the root of float32's largest number: its squares, of which
    AdamW keeps an average, are lost. On a CPU PyTorch takes L2 norms 40 times faster than it finds largest values.
    """
    if not tensors:
        return torch.zeros(0, dtype=torch.bool)
    return ~torch.stack(torch._foreach_norm(list(tensors))).isfinite()


class _Forward:
    """What must be known of a forward pass should its step turn out bad.

    Args:
        losses: name -> scalar.
        paths: of the N images, as far as they are known.
        pixels: (N,) sums of all pixels, which are not finite where one of them is not.
    """

    def __init__(self, losses: dict[str, Tensor], paths: list[str], pixels: Tensor | None) -> None:
        self.losses = losses
        self.paths = paths
        self.pixels = pixels

    def complaints(self) -> list[tuple[int, str]]:
        """Name the losses that are not finite and the images; sort key: 0 if an image itself is non-finite, else 1."""
        values = {name: float(loss) for name, loss in self.losses.items()}
        bad = [f'{name} {value}' for name, value in values.items() if not math.isfinite(value)]
        if not bad:
            return []
        of = f'{len(bad)} of {len(values)} losses: {", ".join(bad)}'
        if not self.paths:
            return [(1, of)]
        if self.pixels is not None and len(self.pixels) == len(self.paths):
            finite = self.pixels.isfinite().tolist()
            broken = [path for path, whole in zip(self.paths, finite, strict=True) if not whole]
            if broken:
                return [(0, f'{of}; non-finite pixels in {_some(broken)}, of {len(self.paths)} images of the batch')]
        return [(1, f'{of}; images of the batch: {_some(self.paths)}')]


def _some(names: Sequence[str]) -> str:
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more


@HOOKS.register_module()
class StopOnNonFinite(Hook):
    """Look at all gradients right before they would change the weights.

    A fused optimizer, from its second step on, is told of what they hold on the device, and changes nothing where that
    is not finite: the host reads it after the iteration, when MMEngine has read the losses anyway, and before anything
    uses or writes weights. Under loss scaling, and with other optimizers, the host waits for the device in each step.

    A loss that is not finite shows in them, on all ranks alike once they are summed up; so no rank has to ask others.
    Where one is not finite, every rank stops with the same message: the step, the losses (of which pair and stage) and
    the images of the ranks whose losses were not finite, or else the weights whose gradients were not. Overflows that
    fp16's loss scaling brings about by design are left to it, down to a scale of 1.

    A step that is skipped leaves weights, the optimizer's state and BN's running statistics as they were; schedules go
    on, the key encoder has moved on by one average towards unchanged weights, and those of the batch's keys that are
    finite are in the queue. Gradients that accumulate over several batches are dropped together.

    Args:
        max_skips: steps that may be skipped in a whole run, resumed or not, before it stops.

    Raises:
        ValueError: if ``max_skips`` is negative.
        RunStopped: in training, from every rank; also if what is to be saved is not finite, as after an update too
            large for float32 (with :class:`SafeCheckpoint`; else from the first rank alone).
    """

    def __init__(self, max_skips: int = 0) -> None:
        if max_skips < 0:
            raise ValueError(f'max_skips={max_skips}: it is a number of steps, 0 to stop at the first')
        self.max_skips = max_skips
        self._forwards: list[_Forward] = []  # of one optimizer step
        self._statistics: list[Tensor] = []
        self._good_statistics: list[Tensor] = []
        self._handles: list[Any] = []
        self._unread: tuple[list[Tensor], Tensor] | None = None  # weights, and which gradients were not finite

    def before_train(self, runner: Runner) -> None:
        """Hook in between gradients and weights."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        if self.max_skips:
            norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
            # counters of batches are left out: nothing but a momentum of None reads them
            self._statistics = [b for norm in norms for b in norm.buffers(recurse=False) if b.is_floating_point()]
            self._good_statistics = [statistic.clone() for statistic in self._statistics]
        self._handles = [
            model.register_forward_hook(self._keep, with_kwargs=True),
            runner.optim_wrapper.optimizer.register_step_pre_hook(partial(self._before_step, runner)),
            runner.optim_wrapper.optimizer.register_step_post_hook(self._after_step),
        ]

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Read what a fused optimizer was told, and see to a step that the loss scaler kept from an optimizer."""
        if self._unread:
            (weights, bad), self._unread = self._unread, None
            self._decide(runner, bool(bad.any()), weights, bad)
        elif self._forwards and runner.optim_wrapper.should_update():
            self._judge(runner, SCALED)

    def after_train(self, runner: Runner) -> None:
        """Look no more."""
        for handle in self._handles:
            handle.remove()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to write what is not finite, should it have come in by another way than the gradients."""
        tensors = {name: t for name, t in checkpoint['state_dict'].items() if t.is_floating_point()}
        bad = non_finite(list(tensors.values())).tolist()
        if any(bad):
            names = [name for name, is_bad in zip(tensors, bad, strict=True) if is_bad]
            what = f'what is to be saved is no longer finite, and is not written: {_some(names)}'
            # between batches whose gradients accumulate, the losses may know more
            self._stop(runner, '. '.join([what, *(told for _, told in self._complaints())]))

    def _keep(self, model: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        """Keep what a message would need; nothing is waited for."""
        if not isinstance(output, dict):
            return
        losses = {k: v.detach().mean() for k, v in output.items() if 'loss' in k and isinstance(v, Tensor)}
        samples = kwargs.get('data_samples')
        known = samples if isinstance(samples, list | tuple) else ()
        paths = [str(sample.img_path) for sample in known if hasattr(sample, 'img_path')]
        views = [view for view in _tensors(kwargs.get('inputs')) if view.ndim > 1 and len(view) == len(paths)]
        sums = [view.flatten(1).sum(1, dtype=torch.float32) for view in views]
        pixels = torch.stack(sums).sum(0) if sums else None
        self._forwards.append(_Forward(losses, paths, pixels))

    def _before_step(self, runner: Runner, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group['params']]
        weights = [weight for weight in weights if weight.grad is not None]
        found = getattr(optimizer, 'found_inf', None)
        # a fused optimizer is called with gradients still scaled, and with what the scaler found in them
        bad = non_finite([weight.grad for weight in weights]) if found is None else found.bool()
        if found is None and weights and _can_be_told(optimizer, weights):
            optimizer.found_inf = bad.any().float()  # type: ignore[attr-defined]  # as GradScaler tells it
            self._unread = weights, bad
            return
        is_bad = bool(bad.any())
        if is_bad:
            # Without gradients an optimizer leaves weights and state alone.
            for weight in weights:
                weight.grad = None
        self._decide(runner, is_bad, weights, bad if found is None else None)

    def _after_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        if self._unread:
            del optimizer.found_inf  # type: ignore[attr-defined]

    def _decide(self, runner: Runner, is_bad: bool, weights: list[Tensor], bad: Tensor | None) -> None:
        """Go on where all gradients were finite; otherwise say of which weights they were not."""
        if not is_bad:
            self._forwards.clear()
            if self._statistics:
                torch._foreach_copy_(self._good_statistics, self._statistics)
            return
        gradients = SCALED
        if bad is not None:
            names = [self._names.get(w, 'unnamed') for w, one in zip(weights, bad.tolist(), strict=True) if one]
            gradients = f'{len(names)} of {len(weights)} gradients are not: {_some(names)}'
        self._judge(runner, gradients)

    def _judge(self, runner: Runner, gradients: str) -> None:
        """Say what is wrong with a step, and go on or stop; all ranks come here together, as they share gradients."""
        own = self._complaints()
        self._forwards.clear()
        # by shuffled BN, one image spoils the keys of other ranks: the rank that holds it comes first
        ranks = sorted(
            (told[0][0], rank, '; '.join(text for _, text in told))
            for rank, told in enumerate(all_gather_object(own))
            if told
        )
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        if scaler is not None and not ranks and scaler.get_scale() >= 1:
            return
        if ranks:
            shown = [f'Rank {rank}, {text}' for _, rank, text in ranks[:RANKS_SHOWN]]
            what = '. '.join(['the loss is not finite', *shown])
            if len(ranks) > RANKS_SHOWN:
                what += f'. And {len(ranks) - RANKS_SHOWN} other ranks'
        else:
            what = f'all losses are finite, but {gradients}'
        skipped = runner.message_hub.get_info('skipped_steps', 0) + 1
        if skipped > self.max_skips:
            more = f'. {self.max_skips} such steps were skipped before, as many as max_skips' if self.max_skips else ''
            self._stop(runner, what + more)
        runner.message_hub.update_info('skipped_steps', skipped)  # part of checkpoints
        if self._statistics:
            torch._foreach_copy_(self._statistics, self._good_statistics)
        runner.logger.warning(
            f'step {runner.iter + 1} is skipped, {skipped} of at most {self.max_skips}, and changes no weight: {what}'
        )

    def _complaints(self) -> list[tuple[int, str]]:
        return sorted(told for forward in self._forwards for told in forward.complaints())

    def _stop(self, runner: Runner, what: str) -> None:
        raise RunStopped(f'stopped at step {runner.iter + 1}: {what}. {MEND}')


def _can_be_told(optimizer: Optimizer, weights: Sequence[Tensor]) -> bool:
    """Whether an optimizer takes ``found_inf``: fused ones do, from their second step on.

    In its first one a fused SGD would take momentum from memory that nobody wrote (PyTorch 2.14.1).
    """
    fused = all(group.get('fused') for group in optimizer.param_groups)
    return fused and all(optimizer.state.get(weight) for weight in weights)


def _tensors(inputs: Any) -> Iterable[Tensor]:
    return (view for view in (inputs if isinstance(inputs, list | tuple) else [inputs]) if isinstance(view, Tensor))
