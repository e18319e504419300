"""Results of a study: read, written and averaged over the seeds."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FROZEN = 'frozen features'  # the task that needs no detector


@dataclass(frozen=True)
class Result:
    """One number: a metric of a method with a seed on a task, as the evaluation gave it."""

    method: str
    seed: int
    task: str
    metric: str
    value: float


def as_csv(results: Sequence[Result]) -> str:
    """Write results as CSV with a header, one number a line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator='\n')
    writer.writerow(['method', 'seed', 'task', 'metric', 'value'])
    writer.writerows([r.method, r.seed, r.task, r.metric, f'{r.value:.6g}'] for r in results)
    return out.getvalue()


def from_csv(text: str) -> list[Result]:
    """Read what `as_csv` wrote."""
    return [
        Result(row['method'], int(row['seed']), row['task'], row['metric'], float(row['value']))
        for row in csv.DictReader(io.StringIO(text))
    ]


def by_method(results: Sequence[Result], task: str, metric: str) -> dict[str, list[float]]:
    """Return the values of one metric, in percent, by method; COCO's -1, "not defined", is left out."""
    found: dict[str, list[float]] = {}
    for result in results:
        if (result.task, result.metric) == (task, metric) and result.value >= 0:
            found.setdefault(result.method, []).append(100 * result.value)
    return found


def spread(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation; None for less than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def results_table(results: Sequence[Result], columns: Mapping[str, tuple[str, str]]) -> list[list[str]]:
    """Write mean and standard deviation over the seeds, a row for each method.

    Args:
        results: what `collect` returned.
        columns: task and metric by the heading of the column; a column without any value is left out.

    Returns:
        A header and rows of text: percentages, `mean ± standard deviation (number of seeds)`.
    """
    methods = list(dict.fromkeys(result.method for result in results))
    filled = {title: values for title, key in columns.items() if (values := by_method(results, *key))}

    def cell(values: Sequence[float]) -> str:
        if not values:
            return '-'
        deviation = spread(values)
        about = '' if deviation is None else f' ± {deviation:.1f}'
        return f'{statistics.fmean(values):.1f}{about} ({len(values)})'

    return [['', *filled]] + [
        [method, *(cell(filled[title].get(method, [])) for title in filled)] for method in methods
    ]
