"""The outcome of a study: one CSV, one Markdown page, one plot."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from detco_mm.checkpoints.files import write_atomically
from detco_mm.version import versions
from detco_mm.visualization.comparison import comparison_picture
from detco_mm.visualization.figures import STAGES
from detco_mm.visualization.report import text_table

from .results import FROZEN, Result, as_csv, by_method, results_table

# What is shown of a detection task, and what it is called there.
DETECTION = {'bbox_mAP': 'box AP', 'bbox_mAP_50': 'box AP50', 'segm_mAP': 'mask AP'}
ACCURACIES = {f'{kind}_{stage}': f'{kind}, frozen {stage}' for kind in ('knn', 'linear') for stage in STAGES}


def headings(results: Sequence[Result]) -> list[dict[str, tuple[str, str]]]:
    """Return the columns of the two tables, of detection and of frozen features: (task, metric) by heading."""
    tasks = [task for task in dict.fromkeys(result.task for result in results) if task != FROZEN]
    detection = {f'{title}, {task}': (task, metric) for task in tasks for metric, title in DETECTION.items()}
    return [detection, {title: (FROZEN, metric) for metric, title in ACCURACIES.items()}]


def write_outcome(
    results: Sequence[Result], folder: Path, name: str, title: str, text: Sequence[str], facts: Mapping[str, str]
) -> list[Path]:
    """Write NAME.csv, NAME.md and NAME.png, each whole or not at all.

    Args:
        results: at least one.
        folder: where to; it is made.
        name: of the files.
        title: heading of the page.
        text: paragraphs below it.
        facts: what to say about the runs beside the versions.

    Returns:
        The files.

    Raises:
        ValueError: if there are no results.
    """
    if not results:
        raise ValueError('no evaluation is done yet: there is nothing to write')
    tables = [results_table(results, columns) for columns in headings(results)]
    picture = comparison_picture(
        {title: by_method(results, *key) for columns in headings(results) for title, key in columns.items()}
    )
    about = [['what', 'value'], *([key, value] for key, value in {**facts, **versions()}.items())]
    page = '\n\n'.join(
        [
            f'# {title}',
            *text,
            'Percent; mean ± sample standard deviation over the seeds, whose number is in brackets.',
            *(text_table(table) for table in tables if len(table[0]) > 1),
            f'![{title}: every seed as a dot, mean and standard deviation]({name}.png)',
            text_table(about),
        ]
    )
    contents: dict[str, bytes | str] = {'csv': as_csv(results), 'md': page + '\n', 'png': picture}
    for suffix, content in contents.items():
        write_atomically(folder / f'{name}.{suffix}', content)
    return [folder / f'{name}.{suffix}' for suffix in contents]
