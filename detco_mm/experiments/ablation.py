"""Several pre-trainings, each with several seeds, each followed by the same fine-tunings and evaluations."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detco_mm.visualization.progress import total_steps

from .results import FROZEN, Result
from .steps import LAST_CHECKPOINT, Step, option_list, overridden


@dataclass(frozen=True)
class Method:
    """One way to come by a backbone.

    Args:
        name: what tables call it.
        config: its pre-training config; None leaves the detector's backbone random.
        seconds: of one pre-training on two CPU cores, for the forecast.
    """

    name: str
    config: str | None
    seconds: float = 3600.0


@dataclass(frozen=True)
class Task:
    """One fine-tuning with its evaluation.

    Args:
        name: what tables call it.
        config: config of the detector.
        options: settings over it, by dotted name.
        seconds: of one fine-tuning on two CPU cores, for the forecast.
    """

    name: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 3600.0


@dataclass(frozen=True)
class Study:
    """What is compared: each method with each seed on each task.

    Args:
        methods: rows of the table.
        tasks: detection tasks.
        seeds: each is that of weights and order of images, in pre-training and in fine-tuning.
        options: settings over every pre-training config, by dotted name.
        images: number of pre-training images, where it is known, for the forecast.
        frozen_data: root of a set for `tools/eval_frozen.py`; None leaves frozen features out.
        frozen_config: config that a random backbone is built by there.
        data: command that makes the data; none if they are there.
    """

    methods: Sequence[Method]
    tasks: Sequence[Task]
    seeds: Sequence[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    images: int = 0
    frozen_data: str | None = None
    frozen_config: str | None = None
    data: Sequence[str] = ()


def slug(name: str) -> str:
    """Turn a name into one that a folder can have."""
    return re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')


def plan(study: Study, work: Path, root: Path) -> list[Step]:
    """Write a study down as commands: one seed after the other, so that a stopped study has whole comparisons.

    Args:
        study: what is compared.
        work: work directory; METHOD/seed_N/ below it holds the runs.
        root: the project's root.

    Returns:
        The steps; evaluations write STEP.json beside their log.

    Raises:
        ValueError: if two methods or two tasks would share a folder.
    """
    for kind, names in (('methods', [m.name for m in study.methods]), ('tasks', [t.name for t in study.tasks])):
        if len({slug(name) for name in names}) < len(names):
            raise ValueError(f'{kind} {", ".join(names)}: each needs a name of its own, for the folder of its runs')
    python, steps = sys.executable, []
    if study.data:
        steps.append(Step('data', 'making the data', list(study.data), 30))
    first = ('data',) if study.data else ()
    for seed in study.seeds:
        for method in study.methods:
            name, who = f'{slug(method.name)}/seed_{seed}', f'{method.name}, seed {seed}'
            weights: list[str] = []
            needs = first
            if method.config is not None:
                options = {**study.options, 'randomness.seed': seed}
                config = overridden(root / method.config, options)
                folder = work / name / 'pretrain'
                steps += [
                    Step(
                        f'{name}/pretrain',
                        f'pre-training {who}',
                        [python, 'tools/train.py', method.config, '--work-dir', str(folder)]
                        + ['--cfg-options', *option_list(options)],
                        method.seconds,
                        folder,
                        total_steps(config, study.images) if study.images else 0,
                        first,
                        str(config._cfg_dict),
                        resumes=True,
                    ),
                    Step(
                        f'{name}/export',
                        f'exporting the backbone of {who}',
                        [python, 'tools/export_backbone.py', str(folder / LAST_CHECKPOINT)]
                        + [weights_file := str(work / name / 'backbone.pth')],
                        10,
                        needs=(f'{name}/pretrain',),
                    ),
                ]
                weights, needs = [weights_file], (f'{name}/export',)
            if study.frozen_data:
                config_path = method.config or study.frozen_config
                assert config_path is not None
                steps.append(
                    Step(
                        f'{name}/frozen',
                        f'kNN and linear accuracy of {who}',
                        [python, 'tools/eval_frozen.py', config_path, *weights, '--data', study.frozen_data]
                        + ['--seed', str(seed), '--out', str(work / name / 'frozen.json')],
                        20,
                        needs=needs,
                    )
                )
            for task in study.tasks:
                task_name = f'{name}/{slug(task.name)}'
                options = {**task.options, 'randomness.seed': seed}
                config = overridden(root / task.config, options)
                folder = work / task_name
                given = ['--cfg-options', *option_list(options)]
                steps += [
                    Step(
                        task_name,
                        f'fine-tuning {task.name} from {who}',
                        [python, 'tools/det_train.py', task.config, *weights, '--work-dir', str(folder), *given],
                        task.seconds,
                        folder,
                        config.train_cfg.get('max_iters', 0),
                        needs,
                        str(config._cfg_dict),
                        resumes=True,
                    ),
                    Step(
                        f'{task_name}-test',
                        f'testing {task.name} from {who}',
                        [python, 'tools/det_test.py', task.config, str(folder / LAST_CHECKPOINT)]
                        + ['--work-dir', str(work / f'{task_name}-test'), '--out', str(work / f'{task_name}-test.json')]
                        + given,
                        30,
                        work / f'{task_name}-test',
                        needs=(task_name,),
                    ),
                ]
    return steps


def collect(study: Study, work: Path) -> list[Result]:
    """Read what the finished evaluations of a study found.

    Args:
        study: what is compared.
        work: its work directory.

    Returns:
        Results in the order of methods, seeds and tasks; of evaluations that are not done, none.
    """
    results = []
    for method in study.methods:
        for seed in study.seeds:
            folder = work / slug(method.name) / f'seed_{seed}'
            files = {FROZEN: 'frozen', **{task.name: f'{slug(task.name)}-test' for task in study.tasks}}
            for task, file in files.items():
                if not (folder / f'{file}.done.json').is_file() or not (folder / f'{file}.json').is_file():
                    continue
                for metric, value in json.loads((folder / f'{file}.json').read_text()).items():
                    results.append(Result(method.name, seed, task, metric.removeprefix('coco/'), float(value)))
    return results
