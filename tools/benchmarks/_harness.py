"""What the benchmarks share: interleaved repeats, one table of medians and ratios, one JSON file."""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # runs without being installed, too

from mmengine.dist import get_rank  # noqa: E402

import detco_mm  # noqa: E402, F401  (repairs the stack before anything else of it is imported)
from detco_mm.version import commit, versions  # noqa: E402
from detco_mm.visualization.report import text_table  # noqa: E402


def interleaved(
    sides: Mapping[str, Callable[[], Any]], repeats: int, warmup: int = 1, done: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Time functions in turn, so that whatever else the machine does falls on all of them alike.

    Args:
        sides: by name.
        repeats: how often each is timed.
        warmup: how often each runs before.
        done: called at the end of each, inside its time: waits for a device.

    Returns:
        Seconds of each repeat, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(-warmup, repeats):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            done()
            took = time.perf_counter() - start
            if repeat >= 0:
                seconds[name].append(took)
        if get_rank() == 0:
            print(f'\rrepeat {max(0, repeat + 1)}/{repeats}', end='', file=sys.stderr, flush=True)
    print('\r', end='', file=sys.stderr)
    return seconds


def ratio(slower: list[float], faster: list[float]) -> float:
    """Return the median over the repeats of how many times longer one took than the other."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def parser(description: str | None, repeats: int) -> argparse.ArgumentParser:
    """Return a parser of the flags that every benchmark has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument('--repeats', type=int, default=repeats, help='default: %(default)s')
    made.add_argument('--json', type=Path, help='file for the figures')
    return made


def report(title: str, table: list[list[str]], figures: Mapping[str, Any], out: Path | None) -> None:
    """Print a table and what it was measured with; write all figures as JSON."""
    about = {'commit': commit(), **versions(), 'load': f'{os.getloadavg()[0]:.1f} processes wanted to run'}
    print(f'\n{title}\n\n{text_table(table)}\n\n' + ', '.join(f'{key} {value}' for key, value in about.items()))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({'title': title, **figures, 'about': about}, indent=1) + '\n')
