"""The schedules of a config against the length of its run: stretched with it, and looked at before the first step."""

import difflib
import logging
import math
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import PARAM_SCHEDULERS

LENGTHS = ('max_epochs', 'max_iters')
#: What MMDetection's CocoMetric gives: ``metric_items`` of boxes and masks, and its ``proposal_nums``.
_APS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_PROPOSALS = ('100', '300', '1000', 's@1000', 'm@1000', 'l@1000')
#: Settings of a schedule that are places in the run.
_PLACES = ('begin', 'end', 'T_max', 'milestones')


def follow_length(cfg: Config, before: Mapping[str, int | None], chosen: Collection[str]) -> None:
    """Stretch the schedules of a config to another length of the run, in place, and log what has changed.

    What is as long as the run follows it by MMEngine's default. Milestones, and where a schedule begins and ends, keep
    their share of the run. A warm-up stays as it is in a longer run, and shrinks with a shorter one.

    Args:
        cfg: with the new length.
        before: ``max_epochs`` and ``max_iters`` as they were; None for what was not said.
        chosen: dotted names of what the user has set as well, which stays as it is.
    """
    changes = []
    for name, schedule in _schedules(cfg):
        length = _unit(schedule)
        old, new = before.get(length), (cfg.get('train_cfg') or {}).get(length)
        if type(old) is not int or type(new) is not int or old == new or min(old, new) < 1:
            continue
        first = schedule.get('begin') or 0
        warm_up = not first and not {'milestones', 'T_max'} & set(schedule)
        kept = {one.get('end') for _, one in _schedules(cfg) if not one.get('begin')} if new > old else set()
        for place in _PLACES:
            value = schedule.get(place)
            if f'{name}.{place}' in chosen or value is None:
                continue
            whole = (old, old - first) if place == 'T_max' else (old,)
            if place in ('T_max', 'end') and value in whole:
                del schedule[place]  # MMEngine's default: to the end of the run
                continue
            if new > old and (warm_up or place == 'begin' and value in kept):
                continue
            scaled = _scaled(value, new / old)
            if scaled is not None and scaled != value:
                schedule[place] = scaled
                changes.append(f'{name}.{place} {value} -> {scaled}')
    if changes:
        lengths = [f'{length} {before[length]} -> {cfg.train_cfg[length]}' for length in LENGTHS if before.get(length)]
        print_log(
            f'the schedule follows the length of the run, {", ".join(lengths)}: {", ".join(changes)}; to have others, '
            'set them as well',
            logger='current',
            level=logging.WARNING,
        )


def check_lengths(cfg: Config, steps: int) -> None:
    """Look at whether schedules come to their end within the run, and whether a metric that one follows is measured.

    Args:
        cfg: of the run.
        steps: of an epoch.

    Raises:
        ValueError: if a schedule follows a metric and nothing is evaluated.
    """
    epochs, iters = ((cfg.get('train_cfg') or {}).get(name) for name in LENGTHS)
    ends = {'max_epochs': epochs, 'max_iters': iters if iters is not None else epochs and epochs * steps}
    beyond = []
    for name, schedule in _schedules(cfg):
        kind = PARAM_SCHEDULERS.get(schedule.get('type', '')) if isinstance(schedule.get('type'), str) else None
        if 'ReduceOnPlateau' in str(schedule.get('type')) and cfg.get('val_dataloader') is None:
            raise ValueError(
                f'{name}: {schedule["type"]} follows a metric, and nothing is evaluated: set val_dataloader, val_cfg '
                'and val_evaluator, or take another schedule'
            )
        end = ends[_unit(schedule)]
        if kind is None or type(end) is not int:
            continue
        begin = schedule.get('begin') or 0
        late = {
            'begin': begin >= end,
            'T_max': 'T_max' in schedule and begin + _finite(schedule['T_max']) > end,
            'milestones': max(_numbers(schedule.get('milestones')), default=0) >= end,
            'end': 'T_max' not in schedule and 'milestones' not in schedule and _finite(schedule.get('end')) > end,
        }
        unit = 'epochs' if _unit(schedule) == 'max_epochs' else 'steps'
        beyond += [f'{name}.{place}={schedule[place]}' + f' of {end} {unit}' for place in late if late[place]]
    if beyond:
        print_log(
            f'the schedule goes beyond the run, which will not come to its last learning rate: {"; ".join(beyond)}',
            logger='current',
            level=logging.WARNING,
        )


def check_metrics(cfg: Config) -> None:
    """Look at whether the metrics that checkpoints and schedules follow are among those of COCO's evaluators.

    Raises:
        ValueError: if one is not; what other evaluators measure is not known before they do.
    """
    found = cfg.get('val_evaluator')
    evaluators = found if isinstance(found, list | tuple) else [found]
    if cfg.get('val_dataloader') is None or not all('CocoMetric' in str((one or {}).get('type')) for one in evaluators):
        return
    known = {
        f'{one.get("prefix") or "coco"}/{name}'
        for one in evaluators
        for metric in _listed(one.get('metric', 'bbox'))
        for name in ([f'AR@{k}' for k in _PROPOSALS] if metric == 'proposal' else [f'{metric}_{x}' for x in _APS])
    }
    followed = {
        f'{name}.monitor': schedule.get('monitor', 'loss')
        for name, schedule in _schedules(cfg)
        if 'ReduceOnPlateau' in str(schedule.get('type'))
    }
    best = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('save_best')
    best = [('default_hooks.checkpoint.save_best', one) for one in _listed(best) if one != 'auto']
    for setting, metric in [*followed.items(), *best]:
        if metric in known or not isinstance(metric, str) or metric.endswith('_precision'):  # of a single class
            continue
        near = difflib.get_close_matches(metric, known, 1, 0.5)
        raise ValueError(
            f'{setting}={metric!r} is no metric of the evaluation'
            + (f"; the nearest is '{near[0]}'" if near else f': choose from {", ".join(sorted(known))}')
        )


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _schedules(cfg: Config) -> Iterator[tuple[str, Any]]:
    """The schedules of the learning rate, by their dotted names."""
    found = cfg.get('param_scheduler') or []
    if isinstance(found, dict):
        yield 'param_scheduler', found
    else:
        yield from ((f'param_scheduler.{at}', one) for at, one in enumerate(found) if isinstance(one, dict))


def _unit(schedule: Mapping[str, Any]) -> str:
    return 'max_epochs' if schedule.get('by_epoch', True) else 'max_iters'


def _scaled(value: Any, share: float) -> Any:
    """A place, or several, in a run of another length: at least 1, if it was; None for what is no number."""
    if isinstance(value, list | tuple):
        parts = [_scaled(one, share) for one in value]
        return None if None in parts else parts
    if type(value) not in (int, float) or not math.isfinite(value):
        return None
    return max(1, round(value * share)) if value > 0 else value


def _numbers(values: Any) -> list[float]:
    return [one for one in values if type(one) in (int, float)] if isinstance(values, list | tuple) else []


def _finite(value: Any) -> float:
    return value if type(value) in (int, float) and math.isfinite(value) else 0
