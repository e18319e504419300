"""What a run wrote down: MMEngine's ``vis_data/scalars.json``, read while it grows and after it ended."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
#: What detco_mm.WriteReport notes of a run beside its log: JSON.
NOTES = 'run.json'
#: Images of which a run's page shows the views; similarity is shown for the first of them.
SHOWN = 3
PROBE = 'probe/'  # how the scalars of detco_mm.Probe begin
NOT_METRICS = ('step', 'iter', 'epoch', 'time', 'data_time', 'memory')  # beside an evaluation's, in its row


def read_rows(work_dir: str | Path, newest_only: bool = True) -> list[Row]:
    """Read the scalars of the runs under a work directory.

    MMEngine writes one JSON object a line to ``work_dir/<timestamp>/vis_data/scalars.json``. The last line may be
    half written while the run goes on, so a line that does not parse is skipped.

    Args:
        work_dir: the run's work directory.
        newest_only: read the newest timestamp alone; otherwise all of them in order, as for a resumed run. Of steps
            that were repeated, from the checkpoint to where the run had been stopped, the later row counts.

    Returns:
        One dict a line, in order; empty where nothing was logged yet.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    rows: list[Row] = []
    for file in files[-1:] if newest_only else files:
        for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(row, dict):
                rows.append(row)
    kinds = [(row.get('step'), 'loss' in row, _is_probe(row)) for row in rows]
    latest = {kind: at for at, kind in enumerate(kinds)}
    return [row for at, row in enumerate(rows) if latest[kinds[at]] == at]


def _is_probe(row: Row) -> bool:
    return any(key.startswith(PROBE) for key in row)


def training_rows(rows: Iterable[Row]) -> list[Row]:
    """Keep the rows of training: those that carry a loss."""
    return [row for row in rows if 'loss' in row]


def series(rows: Iterable[Row], name: str) -> tuple[list[float], list[float]]:
    """Pick one scalar over the steps.

    Returns:
        Steps and values of the rows in which the scalar is present, both of the same length.
    """
    points = [(float(row['step']), float(row[name])) for row in rows if name in row and 'step' in row]
    return [x for x, _ in points], [y for _, y in points]


def last_metrics(rows: Iterable[Row], prefix: str = 'coco/') -> dict[str, float]:
    """Return the last evaluation, with the prefix taken off its names.

    Raises:
        ValueError: if no row holds an evaluation.
    """
    found: dict[str, float] = {}
    for row in rows:
        metrics = {key[len(prefix) :]: float(value) for key, value in row.items() if key.startswith(prefix)}
        found = metrics or found
    if not found:
        raise ValueError(f'no scalar named {prefix}* was logged: the run ended before its evaluation; run it again')
    return found


def evaluations(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """Pick the evaluations of a run.

    Returns:
        Metrics by 'iteration N' or, where the run counts them, 'epoch N', in order.
    """
    rows = list(rows)
    unit = 'epoch' if any('epoch' in row for row in training_rows(rows)) else 'iteration'
    found = {}
    for row in rows:
        metrics = {key: float(value) for key, value in row.items() if key not in NOT_METRICS}
        if 'loss' not in row and metrics and not _is_probe(row):
            found[f'{unit} {row["step"]}'] = metrics
    return found


def read_notes(work_dir: str | Path) -> dict[str, Any]:
    """Read what the newest of a run's :data:`NOTES` says; empty where there is none."""
    for path in sorted(Path(work_dir).glob(f'*/{NOTES}'), reverse=True):
        try:
            found = json.loads(path.read_text(encoding='utf-8'))
        except (OSError, json.JSONDecodeError):
            continue
        return found if isinstance(found, dict) else {}
    return {}


def spread(count: int, total: int) -> list[int]:
    """Choose indices that are spread evenly over a data set, the first one among them."""
    return [at * total // min(count, total) for at in range(min(count, total))]
