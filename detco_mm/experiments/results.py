"""Results of a study: read, written and averaged over the seeds."""

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import t

FROZEN = 'frozen features'  # the task that needs no detector
COST = 'cost'  # what trainings took; its values are no shares
COLUMNS = ['method', 'seed', 'task', 'metric', 'value']


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
    writer.writerow(COLUMNS)
    writer.writerows([r.method, r.seed, r.task, r.metric, f'{r.value:.6g}'] for r in results)
    return out.getvalue()


def from_csv(text: str) -> list[Result]:
    """Read what `as_csv` wrote.

    Raises:
        ValueError: if it is something else.
    """
    rows = csv.DictReader(io.StringIO(text))
    if rows.fieldnames != COLUMNS:
        raise ValueError(
            f'the CSV has the columns {rows.fieldnames}, that of a study has {COLUMNS}: take its results.csv'
        )
    return [Result(row['method'], int(row['seed']), row['task'], row['metric'], float(row['value'])) for row in rows]


def by_method(results: Sequence[Result], task: str, metric: str, scale: float = 100) -> dict[str, list[float]]:
    """Return the values of one metric, by default in percent, by method; COCO's -1, "not defined", is left out."""
    found: dict[str, list[float]] = {}
    for result in results:
        if (result.task, result.metric) == (task, metric) and result.value >= 0:
            found.setdefault(result.method, []).append(scale * result.value)
    return found


@dataclass(frozen=True)
class Difference:
    """A method against another, seed by seed.

    Args:
        mean: of the differences, in percentage points.
        half_width: of the 95 % interval around it, by Student's t; None for less than two seeds.
        seeds: how many both have.
    """

    mean: float
    half_width: float | None
    seeds: int


def paired(results: Sequence[Result], task: str, metric: str, against: str) -> dict[str, Difference]:
    """Compare every method with one of them over the seeds that both have, so that what a seed brings along cancels.

    Args:
        results: what `collect` returned.
        task: of both.
        metric: of both.
        against: the method to compare with.

    Returns:
        By method, in the order of `results`, without `against` and those that share no seed with it.
    """
    values: dict[str, dict[int, float]] = {}
    for result in results:
        if (result.task, result.metric) == (task, metric) and result.value >= 0:
            values.setdefault(result.method, {})[result.seed] = 100 * result.value
    base = values.pop(against, {})
    found = {}
    for method, by_seed in values.items():
        differences = [by_seed[seed] - base[seed] for seed in by_seed if seed in base]
        if differences:
            deviation, count = spread(differences), len(differences)
            half = None if deviation is None else float(t.ppf(0.975, count - 1)) * deviation / math.sqrt(count)
            found[method] = Difference(statistics.fmean(differences), half, count)
    return found


def differences_table(
    results: Sequence[Result], columns: Mapping[str, tuple[str, str]], against: str
) -> list[list[str]]:
    """Write `paired` differences, a row for each method, as `mean [low, high] (number of seeds)`."""
    found = {title: paired(results, *key, against) for title, key in columns.items()}
    filled = {title: differences for title, differences in found.items() if differences}
    methods = [name for name in dict.fromkeys(result.method for result in results) if name != against]

    def cell(difference: Difference | None) -> str:
        if difference is None:
            return '-'
        mean, half = difference.mean, difference.half_width
        interval = '' if half is None else f' [{mean - half:+.1f}, {mean + half:+.1f}]'
        return f'{mean:+.1f}{interval} ({difference.seeds})'

    return [['', *filled]] + [[name, *(cell(filled[title].get(name)) for title in filled)] for name in methods]


def spread(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation; None for less than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def results_table(
    results: Sequence[Result], columns: Mapping[str, tuple[str, str]], scale: float = 100
) -> list[list[str]]:
    """Write mean and standard deviation over the seeds, a row for each method.

    Args:
        results: what `collect` returned.
        columns: task and metric by the heading of the column; a column without any value is left out.
        scale: what values are multiplied by.

    Returns:
        A header and rows of text: `mean ± standard deviation (number of seeds)`.
    """
    methods = list(dict.fromkeys(result.method for result in results))
    filled = {title: values for title, key in columns.items() if (values := by_method(results, *key, scale))}

    def cell(values: Sequence[float]) -> str:
        if not values:
            return '-'
        deviation = spread(values)
        about = '' if deviation is None else f' ± {deviation:.1f}'
        return f'{statistics.fmean(values):.1f}{about} ({len(values)})'

    return [['', *filled]] + [
        [method, *(cell(filled[title].get(method, [])) for title in filled)] for method in methods
    ]
