"""The schedules of a resumed run: those of its config, wherever the checkpoint's came from.

MMEngine restores schedules and optimizer settings as the checkpoint has them, whatever the config says now: a finished
run that is resumed for more epochs trains on at its last rate, and one that is resumed with another batch size ends its
schedule too early or never.
"""

import itertools
from typing import Any

from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.runner import EpochBasedTrainLoop, Runner

from detco_mm.checkpoints.log_history import to_builtin_types

#: What of a scheduler's state is progress, and not a setting.
_PROGRESS = {'last_step', '_global_step', '_last_value', 'verbose'}
#: Settings of an optimizer that change how it is computed, and not what.
_IMPLEMENTATION = {'fused', 'foreach', 'capturable', 'differentiable'}


def fit_schedules(runner: Runner, checkpoint: dict[str, Any]) -> None:
    """Give a checkpoint that is about to be resumed the schedules and optimizer settings of the run's config, in place.

    Where they are the same already nothing changes, and the run goes on bit for bit. Else the config's schedules are
    taken through the steps that the run has behind it, of epochs as long as they are now, and what differs is logged.

    Args:
        runner: its optimizer and schedulers are built, and have not taken a step.
        checkpoint: of MMEngine's Runner.

    Raises:
        ValueError: if a schedule that would have to be rebuilt follows a metric, and so cannot be.
    """
    if 'optimizer' not in checkpoint or not isinstance(runner.optim_wrapper, OptimWrapper):
        return
    schedulers: Any = runner.param_schedulers or []
    optimizer = runner.optim_wrapper.optimizer
    saved = checkpoint['param_schedulers'] if schedulers else []
    groups = checkpoint['optimizer']['param_groups']
    if len(groups) != len(optimizer.param_groups):
        return  # the optimizer refuses it, and says so
    length, done, epochs = _progress(runner, checkpoint)
    differences = _differing_schedules(schedulers, saved) + _differing_groups(optimizer.param_groups, groups)
    if length is not None and any(not one.by_epoch for one in schedulers):
        differences.append(f'steps of an epoch {length} -> {len(runner.train_dataloader)}')
    if not differences:
        return
    for scheduler in schedulers:
        if getattr(scheduler, 'need_val_args', False):
            raise ValueError(
                f'{type(scheduler).__name__} follows a metric and cannot be rebuilt for other settings '
                f'({"; ".join(differences)}): resume with the settings of the checkpoint, or start anew with load_from'
            )
    for by_epoch, steps in ((False, done), (True, epochs)):
        chosen = [one for one in schedulers if one.by_epoch is by_epoch]
        for _, scheduler in itertools.product(range(steps), chosen):
            scheduler.step()
    if schedulers:
        checkpoint['param_schedulers'] = [one.state_dict() for one in schedulers]
    if 'base_param_settings' in checkpoint['optimizer']:  # what MMEngine keeps to log a rate that no multiplier changed
        groups = [*groups, checkpoint['optimizer']['base_param_settings']]
    for old, new in zip(groups, runner.optim_wrapper.param_groups, strict=True):
        old.update({name: value for name, value in new.items() if name != 'params'})
    rates = ', '.join(f'{rate:.4g}' for rate in sorted({group['lr'] for group in optimizer.param_groups}))
    runner.logger.warning(
        f'resumed with other settings than those of the checkpoint: {"; ".join(differences)}. The schedule is rebuilt '
        f'from the config: after {epochs} epochs and {done} steps the learning rate is {rates}'
    )


def _progress(runner: Runner, checkpoint: dict[str, Any]) -> tuple[int | None, int, int]:
    """The length of the checkpoint's epochs if it is another now, and the steps and epochs that a run has behind it."""
    meta, info = checkpoint['meta'], checkpoint['message_hub']['runtime_info']
    epochs, steps = meta['epoch'], meta['iter']
    # ResumableTrainLoop notes it; of other loops it is known if all epochs were of one length
    length = info.get('epoch_length') or (steps // epochs if epochs and steps % epochs == 0 else None)
    by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
    now = len(runner.train_dataloader)
    if not by_epoch or length is None or length == now:
        return None, steps, epochs
    return length, epochs * now, epochs


def _differing_schedules(schedulers: list[_ParamScheduler], saved: list[dict[str, Any]]) -> list[str]:
    if len(schedulers) != len(saved):
        return [f'{len(saved)} schedules -> {len(schedulers)}']
    found = []
    for scheduler, old in zip(schedulers, saved, strict=True):
        new = to_builtin_types(scheduler.state_dict())
        names = {name for name in new.keys() | old.keys() if new.get(name) != to_builtin_types(old.get(name))}
        found += [
            f'{type(scheduler).__name__}.{name} {_short(old.get(name))} -> {_short(new.get(name))}'
            for name in sorted(names - _PROGRESS)
        ]
    return found


def _differing_groups(new: list[dict[str, Any]], old: list[dict[str, Any]]) -> list[str]:
    """What differs of the optimizer but the rates, which schedules set: those are compared by `initial_lr`."""
    found: dict[str, str] = {}
    for one, other in zip(new, old, strict=True):
        # of two versions of PyTorch, one may know a setting more
        for name in sorted((one.keys() & other.keys()) - {'params'} - _IMPLEMENTATION):
            if f'initial_{name}' not in one and one[name] != other[name]:
                found.setdefault(name, f'{name} {_short(other[name])} -> {_short(one[name])}')
    return list(found.values())


def _short(value: Any) -> str:
    if isinstance(value, list) and len(set(map(str, value))) == 1:
        value = value[0]
    return f'{value:.4g}' if isinstance(value, float) else str(value)
