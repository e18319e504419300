"""Several starts, each with several seeds, each followed by the same fine-tunings and evaluations."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from detco_mm.datasets.image_folder import EXTENSIONS
from detco_mm.visualization.progress import total_steps
from detco_mm.visualization.scalars import evaluations, read_rows, training_rows

from .data_sets import DataSet, point_detector
from .results import COST, FROZEN, Result
from .steps import LAST_CHECKPOINT, Step, config_text, overridden


@dataclass(frozen=True)
class Method:
    """One way to come by a backbone.

    Args:
        name: what tables call it.
        config: its pre-training config; None for none.
        seconds: of one pre-training on two CPU cores, for the forecast.
        weights: any file that ``--from`` reads, to pre-train from or, without a config, to fine-tune from. Without
            both, the detector's backbone is random.
    """

    name: str
    config: str | None
    seconds: float = 3600.0
    weights: str | None = None


@dataclass(frozen=True)
class Task:
    """One fine-tuning with its evaluation.

    Args:
        name: what tables call it.
        config: config of the detector.
        options: settings over it, by dotted name.
        seconds: of one fine-tuning on two CPU cores, for the forecast.
        share: percent of a data set's training images; None for what the config itself says.
    """

    name: str
    config: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 3600.0
    share: float | None = None


@dataclass(frozen=True)
class Study:
    """What is compared: each method with each seed on each task of each data set.

    Args:
        methods: rows of the table.
        tasks: detection tasks.
        seeds: each is that of weights, order of images and draw of a share of them, in pre-training and in fine-tuning.
        options: settings over every pre-training config, by dotted name.
        images: number of pre-training images, where it is known, for the forecast.
        frozen_data: root of a set for `tools/eval_frozen.py`; None leaves frozen features out.
        frozen_config: config that a random backbone is built by there.
        data: command that makes the data; none if they are there.
        data_sets: where configs are led to, each with a pre-training of its own; none for the configs' own data.
        split: of a data set, what is tested on: 'test', or 'val' while settings are chosen.
        known: results of this study from elsewhere, such as an earlier work directory's CSV; they are not run again.
    """

    methods: Sequence[Method]
    tasks: Sequence[Task]
    seeds: Sequence[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    images: int = 0
    frozen_data: str | None = None
    frozen_config: str | None = None
    data: Sequence[str] = ()
    data_sets: Sequence[DataSet] = ()
    split: str = 'test'
    known: Sequence[Result] = ()


def slug(name: str) -> str:
    """Turn a name into one that a folder can have."""
    return re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')


@dataclass(frozen=True)
class _Run:
    """One method with one seed, on one data set or on the configs' own data."""

    study: Study
    work: Path
    root: Path
    seed: int
    method: Method
    data_set: DataSet | None

    @property
    def name(self) -> str:
        place = f'{slug(self.data_set.name)}/' if self.data_set else ''
        return f'{place}{slug(self.method.name)}/seed_{self.seed}'

    @property
    def title(self) -> str:
        place = f' on {self.data_set.name}' if self.data_set else ''
        return f'{self.method.name}{place}, seed {self.seed}'

    def task_title(self, task: str) -> str:
        """Name a task in a table."""
        return f'{self.data_set.name}, {task}' if self.data_set else task

    def pretraining(self) -> Config:
        """Build the config of its pre-training."""
        assert self.method.config is not None
        config = overridden(self.root / self.method.config, {**self.study.options, 'randomness.seed': self.seed})
        if self.data_set:
            config.train_dataloader.dataset.update(data_root=str(self.data_set.unlabelled), ann_file='')
        return config

    def images(self) -> int:
        """Count the images of its pre-training; 0 if that is not known."""
        if not self.data_set:
            return self.study.images
        return sum(path.suffix.lower() in EXTENSIONS for path in self.data_set.unlabelled.rglob('*'))

    def share_file(self, task: Task) -> Path | None:
        """Where the drawn share of the labels lies: the same for all methods, another for each seed."""
        if task.share is None or not self.data_set:
            return None
        folder = self.work / slug(self.data_set.name) / f'labels/seed_{self.seed}'
        return folder / f'instances_train_{task.share:g}pct.json'

    def finetuning(self, task: Task) -> Config:
        """Build the config of a fine-tuning."""
        config = overridden(self.root / task.config, {**task.options, 'randomness.seed': self.seed})
        if self.data_set:
            point_detector(config, self.data_set, self.share_file(task), self.study.split)
        return config


def _runs(study: Study, work: Path, root: Path) -> Iterator[_Run]:
    """One seed after the other, so that a stopped study has complete comparisons."""
    for seed in study.seeds:
        for data_set in study.data_sets or (None,):
            for method in study.methods:
                yield _Run(study, work, root, seed, method, data_set)


def plan(study: Study, work: Path, root: Path) -> list[Step]:
    """Write a study down as commands.

    Args:
        study: what is compared.
        work: work directory; [DATA_SET/]METHOD/seed_N/ below it holds the runs, each with its config.
        root: the project's root.

    Returns:
        The steps; evaluations write STEP.json beside their log.

    Raises:
        ValueError: if two methods, tasks or data sets would share a folder, or a share of labels has no data set.
        FileNotFoundError: if a data set is not complete.
    """
    for kind, found in (('methods', study.methods), ('tasks', study.tasks), ('data sets', study.data_sets)):
        names = [entry.name for entry in found]
        if len({slug(name) for name in names}) < len(names):
            raise ValueError(f'{kind} {", ".join(names)}: each needs a name of its own, for the folder of its runs')
    if not study.data_sets and (shares := [task.name for task in study.tasks if task.share is not None]):
        raise ValueError(f'tasks {", ".join(shares)} take a share of the labels: name the data set to draw it from')
    for data_set in study.data_sets:
        data_set.check()
    steps = [Step('data', 'making the data', list(study.data), 30)] if study.data else []
    first = tuple(step.name for step in steps)
    known = {(result.method, result.seed, result.task) for result in study.known}
    for run in _runs(study, work, root):
        left = [task for task in study.tasks if (run.method.name, run.seed, run.task_title(task.name)) not in known]
        frozen = study.frozen_data and (run.method.name, run.seed, run.task_title(FROZEN)) not in known
        if study.known and not left and not frozen:
            continue
        steps += [step for step in _shares(run) if step.name not in {other.name for other in steps}]
        weights, needs = run.method.weights, first
        if run.method.config is not None:
            steps += _pretraining(run, first)
            weights, needs = str(work / run.name / 'backbone.pth'), (f'{run.name}/export',)
        given = [weights] if weights else []
        if frozen:
            steps.append(_frozen(run, given, needs))
        for task in left:
            steps += _finetuning(run, task, given, needs)
    return steps


def _shares(run: _Run) -> Iterator[Step]:
    for task in run.study.tasks:
        file = run.share_file(task)
        if file is not None and run.data_set is not None:
            yield Step(
                f'{slug(run.data_set.name)}/labels/seed_{run.seed}/{task.share:g}pct',
                f'drawing {task.share:g} % of the labels of {run.data_set.name}, seed {run.seed}',
                [sys.executable, 'tools/split_coco.py', str(run.data_set.labels('train')), '--out', str(file.parent)]
                + ['--percents', f'{task.share:g}', '--seed', str(run.seed)],
                5,
            )


def _pretraining(run: _Run, needs: tuple[str, ...]) -> list[Step]:
    config, images = run.pretraining(), run.images()
    folder = run.work / run.name / 'pretrain'
    start = ['--from', run.method.weights] if run.method.weights else []
    file = run.work / run.name / 'pretrain.py'
    return [
        Step(
            f'{run.name}/pretrain',
            f'pre-training {run.title}',
            [sys.executable, 'tools/train.py', str(file), '--work-dir', str(folder), *start],
            run.method.seconds,
            folder,
            total_steps(config, images) if images else 0,
            needs,
            config_text(config),
            resume=['--resume'],
            config_file=file,
        ),
        Step(
            f'{run.name}/export',
            f'exporting the backbone of {run.title}',
            [sys.executable, 'tools/export_backbone.py', str(folder / LAST_CHECKPOINT)]
            + [str(run.work / run.name / 'backbone.pth')],
            10,
            needs=(f'{run.name}/pretrain',),
        ),
    ]


def _frozen(run: _Run, weights: Sequence[str], needs: tuple[str, ...]) -> Step:
    config = run.method.config or run.study.frozen_config
    assert config is not None and run.study.frozen_data is not None
    return Step(
        f'{run.name}/frozen',
        f'kNN and linear accuracy of {run.title}',
        [sys.executable, 'tools/eval_frozen.py', config, *weights, '--data', run.study.frozen_data]
        + ['--seed', str(run.seed), '--out', str(run.work / run.name / 'frozen.json')],
        20,
        needs=needs,
    )


def _finetuning(run: _Run, task: Task, weights: Sequence[str], needs: tuple[str, ...]) -> list[Step]:
    name, config = f'{run.name}/{slug(task.name)}', run.finetuning(task)
    folder, file = run.work / name, run.work / f'{name}.py'
    title = run.task_title(task.name)
    if run.share_file(task) is not None and run.data_set is not None:
        needs += (f'{slug(run.data_set.name)}/labels/seed_{run.seed}/{task.share:g}pct',)
    return [
        Step(
            name,
            f'fine-tuning {title} from {run.title}',
            [sys.executable, 'tools/det_train.py', str(file), *weights, '--work-dir', str(folder)],
            task.seconds,
            folder,
            config.train_cfg.get('max_iters', 0),
            needs,
            config_text(config),
            resume=['--resume'],
            config_file=file,
        ),
        Step(
            f'{name}-test',
            f'testing {title} from {run.title}',
            [sys.executable, 'tools/det_test.py', str(file), str(folder / LAST_CHECKPOINT)]
            + ['--work-dir', str(run.work / f'{name}-test'), '--out', str(run.work / f'{name}-test.json')],
            30,
            run.work / f'{name}-test',
            needs=(name,),
        ),
    ]


def collect(study: Study, work: Path) -> list[Result]:
    """Read what the finished evaluations of a study found, and what they cost.

    Args:
        study: what is compared.
        work: its work directory.

    Returns:
        Those that are known, then those of the work directory in the order of seeds, data sets, methods and tasks; of
        evaluations that are not done, none. The task COST has the minutes of each training of a method, and the images
        that its pre-training saw.
    """
    results = []
    for run in _runs(study, work, Path()):
        files = {FROZEN: 'frozen', **{task.name: f'{slug(task.name)}-test' for task in study.tasks}}
        for task, file in files.items():
            path = work / run.name / f'{file}.json'
            if path.is_file() and (work / run.name / f'{file}.done.json').is_file():
                for metric, value in json.loads(path.read_text()).items():
                    title = run.task_title(task)
                    name = metric.removeprefix('coco/')
                    results.append(Result(run.method.name, run.seed, title, name, float(value)))
        results += [
            Result(run.method.name, run.seed, run.task_title(COST), metric, value)
            for metric, value in _cost(run).items()
        ]
    found = {(result.method, result.seed, result.task, result.metric): result for result in [*study.known, *results]}
    return [*found.values()]


def _cost(run: _Run) -> dict[str, float]:
    """Read the minutes of the trainings that are done, and the images that the pre-training saw."""
    found = {}
    parts = {'pretrain': 'pre-training', **{slug(task.name): task.name for task in run.study.tasks}}
    for part, title in parts.items():
        stamp = run.work / run.name / f'{part}.done.json'
        if stamp.is_file():
            found[f'minutes, {title}'] = json.loads(stamp.read_text())['seconds'] / 60
    rows = training_rows(read_rows(run.work / run.name / 'pretrain', newest_only=False))
    if rows and 'minutes, pre-training' in found:
        batch = Config.fromfile(str(run.work / run.name / 'pretrain.py')).train_dataloader.batch_size
        found['images seen'] = float(rows[-1]['step'] * batch)
    return found


def course(study: Study, work: Path) -> dict[str, dict[str, list[dict[int, float]]]]:
    """Read how the box AP on the validation images rose while detectors were trained.

    Args:
        study: what is compared.
        work: its work directory.

    Returns:
        By task, then by method, for each seed box AP in percent by iteration or epoch; what was never evaluated is
        left out.
    """
    found: dict[str, dict[str, list[dict[int, float]]]] = {}
    for run in _runs(study, work, Path()):
        for task in study.tasks:
            rows = read_rows(work / run.name / slug(task.name), newest_only=False)
            points = {
                int(at.split()[1]): 100 * metrics['coco/bbox_mAP']
                for at, metrics in evaluations(rows).items()
                if metrics.get('coco/bbox_mAP', -1) >= 0
            }
            if points:
                found.setdefault(run.task_title(task.name), {}).setdefault(run.method.name, []).append(points)
    return found
