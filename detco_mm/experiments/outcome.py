"""The outcome of a study: one CSV, one Markdown page, pictures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from detco_mm.checkpoints.files import write_atomically
from detco_mm.version import versions
from detco_mm.visualization.comparison import comparison_picture, course_picture
from detco_mm.visualization.figures import STAGES
from detco_mm.visualization.report import text_table

from .results import COST, FROZEN, Result, as_csv, by_method, differences_table, results_table

# What is shown of a detection task, and what it is called there.
DETECTION = {'bbox_mAP': 'box AP', 'bbox_mAP_50': 'box AP50', 'segm_mAP': 'mask AP'}
SIZES = {
    f'bbox_mAP{suffix}': f'box AP{name}' for suffix, name in (('_75', '75'), ('_s', 'S'), ('_m', 'M'), ('_l', 'L'))
}
ACCURACIES = {f'{kind}_{stage}': f'{kind}, frozen {stage}' for kind in ('knn', 'linear') for stage in STAGES}
Columns = dict[str, tuple[str, str]]  # (task, metric) by heading
Course = Mapping[str, Mapping[str, Sequence[Mapping[int, float]]]]


def headings(results: Sequence[Result]) -> list[Columns]:
    """Return the columns of the tables: detection, detection by size of object, by class, and frozen features."""
    tasks = [task for task in dict.fromkeys(result.task for result in results) if task != FROZEN and not _is_cost(task)]

    def columns(metrics: Mapping[str, str]) -> Columns:
        return {f'{title}, {task}': (task, metric) for task in tasks for metric, title in metrics.items()}

    suffix = '_precision'  # MMDetection's AP of one class
    classes: Columns = {
        f'{result.metric.removesuffix(suffix)}, {result.task}': (result.task, result.metric)
        for result in results
        if result.task in tasks and result.metric.endswith(suffix)
    }
    frozen = {title: (FROZEN, metric) for metric, title in ACCURACIES.items()}
    return [columns(DETECTION), columns(SIZES), classes, frozen]


def _is_cost(task: str) -> bool:
    return task == COST or task.endswith(f', {COST}')


def write_outcome(
    results: Sequence[Result],
    folder: Path,
    name: str,
    title: str,
    text: Sequence[str],
    facts: Mapping[str, str],
    against: str | None = None,
    course: Course | None = None,
) -> list[Path]:
    """Write NAME.csv, NAME.md, NAME.png and, where detectors were evaluated as they trained, NAME-course.png.

    Args:
        results: at least one.
        folder: where to; it is made.
        name: of the files.
        title: heading of the page.
        text: paragraphs below it.
        facts: what to say about the runs beside the versions.
        against: the method whose differences to the others are written; None for none.
        course: what :func:`detco_mm.experiments.ablation.course` returned.

    Returns:
        The files, the CSV and the page first.

    Raises:
        ValueError: if there are no results.
    """
    shown = [result for result in results if not _is_cost(result.task)]
    if not shown:
        raise ValueError('no evaluation is done yet: there is nothing to write')
    groups = headings(results)
    costs: Columns = {
        f'{result.metric}, {result.task}' if result.task != COST else result.metric: (result.task, result.metric)
        for result in results
        if _is_cost(result.task)
    }
    about = [['what', 'value'], *([key, value] for key, value in {**facts, **versions()}.items())]
    parts = [
        f'# {title}',
        *text,
        'Percent; mean ± sample standard deviation over the seeds, whose number is in brackets.',
        *_written(results_table(results, columns) for columns in groups),
    ]
    if against and (tables := _written(differences_table(results, columns, against) for columns in groups[:2])):
        parts += [
            f'Differences to {against} with the same seed, in percentage points: mean, 95 % interval of the mean by '
            "Student's t, number of seeds. An interval that holds 0 shows nothing.",
            *tables,
        ]
    parts += _written([results_table(results, costs, scale=1)])
    parts.append(f'![{title}: every seed as a dot, mean and standard deviation]({name}.png)')
    # a panel for each class would be a poster
    panels = {title: by_method(results, *key) for columns in (groups[0], groups[3]) for title, key in columns.items()}
    contents: dict[str, bytes | str] = {'.csv': as_csv(results), '.md': '', '.png': comparison_picture(panels)}
    if course:
        contents['-course.png'] = course_picture(course)
        parts.append(f'![{title}: box AP on the validation images while detectors trained]({name}-course.png)')
    contents['.md'] = '\n\n'.join([*parts, text_table(about)]) + '\n'
    for suffix, content in contents.items():
        write_atomically(folder / f'{name}{suffix}', content)
    return [folder / f'{name}{suffix}' for suffix in contents]


def _written(tables: Iterable[list[list[str]]]) -> list[str]:
    return [text_table(table) for table in tables if len(table[0]) > 1]
