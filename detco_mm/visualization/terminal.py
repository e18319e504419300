"""One line at the bottom of a terminal that says how far a run has come, below whatever else is written there."""

import os
import sys
import threading
import time
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from detco_mm.visualization.progress import clock

#: Back to the start of the line, and what was on it is gone (ECMA-48, EL).
_ERASE = '\r\x1b[2K'
#: Columns of the bar.
_BAR = 16
#: Seconds from one update to the next; an update takes a millisecond or two.
INTERVAL = 0.25


def can_draw(file: Any) -> bool:
    """Tell whether a line can be drawn again and again: not in a file, a pipe, or where TERM says ``dumb``."""
    if not hasattr(file, 'isatty') or not file.isatty():
        return False
    console = Console(file=file)
    return not (console.is_dumb_terminal or console.legacy_windows or console.is_jupyter)


class ProgressLine:
    """A bar, steps, time left, images a second and losses, in one line however narrow the terminal is.

    While it is shown, ``sys.stdout`` and ``sys.stderr`` are :class:`Above`, which writes above it, byte for byte what
    it is given. There is no thread, which data workers would be forked beside, and the cursor stays as it is: whatever
    ends the process leaves the terminal in order. Without colours under NO_COLOR.

    Args:
        file: a terminal for which :func:`can_draw` holds.
    """

    def __init__(self, file: TextIO) -> None:
        self.file = file
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._updated = 0.0
        self._held = False
        self._tasks: list[TaskID] = []
        self._progress = Progress(
            TextColumn('{task.fields[what]}', markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=_BAR, table_column=Column(no_wrap=True)),
            TextColumn('{task.fields[steps]}', markup=False, style='bold', table_column=Column(no_wrap=True)),
            TextColumn('{task.fields[times]}', markup=False, style='cyan', table_column=Column(no_wrap=True)),
            TextColumn('{task.fields[losses]}', markup=False, table_column=Column(no_wrap=True, overflow='ellipsis')),
            console=_Console(file=file, force_terminal=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def show(self) -> None:
        """Take the bottom of the terminal, and the program's output."""
        self._progress.start()
        self._streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (Above(stream, self) if can_draw(stream) else stream for stream in self._streams)  # type: ignore[assignment]

    def close(self) -> None:
        """Give both back, and leave nothing behind."""
        for stream, now in zip(self._streams, (sys.stdout, sys.stderr), strict=True):
            if isinstance(now, Above):
                now.flush()
                if now is sys.stdout:
                    sys.stdout = stream
                else:
                    sys.stderr = stream
        with self._lock:
            if self._held:
                self.file.write('\n')
                self._held = False
            self._progress.stop()

    def begin(self, what: str, total: int, done: int = 0) -> None:
        """Show another task, until it ends, in the place of what was shown."""
        for task in self._tasks:
            self._progress.update(task, visible=False)
        fields: dict[str, Any] = dict(what=what, steps='', times='', losses='')
        self._tasks.append(self._progress.add_task('', total=total, completed=done, **fields))
        self.update(done)

    def end(self) -> None:
        """Go back to the task before."""
        self._progress.remove_task(self._tasks.pop())
        if self._tasks:
            self._progress.update(self._tasks[-1], visible=True)
        self.draw()

    @property
    def due(self) -> bool:
        """Whether it is time to say something new."""
        return time.monotonic() - self._updated >= INTERVAL

    def update(
        self,
        done: int,
        rate: float | None = None,
        left: float | None = None,
        losses: dict[str, float] | None = None,
        unit: str = 'images',
    ) -> None:
        """Say how far the task has come.

        Args:
            done: steps.
            rate: units a second, if known.
            left: seconds left, if known.
            losses: the last ones, by name; None leaves what is shown.
            unit: what the rate counts.
        """
        if not self._tasks:
            return
        task = self._progress.tasks[[one.id for one in self._progress.tasks].index(self._tasks[-1])]
        total = int(task.total or 0)
        count = f'{total:,}'
        steps = f'{100 * done // total if total else 0:3d}% {done:>{len(count)},}/{count}'
        times = [f'{clock(left)} left'] if left is not None and left == left else []
        times += [f'{rate:,.{0 if rate >= 10 else 1}f} {unit}/s'] if rate is not None and rate == rate else []
        fields: dict[str, Any] = dict(steps=steps, times='  '.join(times))
        if losses is not None:
            taken = len(task.fields['what']) + _BAR + len(steps) + len(fields['times']) + 4  # a blank between columns
            fields['losses'] = _fitting(losses, self._progress.console.width - taken)
        self._progress.update(task.id, completed=done, **fields)
        self._updated = time.monotonic()
        self.draw()

    def draw(self) -> None:
        """Draw it now, unless somebody has begun a line of his own; a forked child has no line to draw."""
        with self._lock:
            if not self._held and os.getpid() == self._process:
                self._progress.refresh()

    def write(self, stream: TextIO, text: str, whole: bool) -> None:
        """Write above the line; after text that ends no line, the line waits until its line ends."""
        with self._lock:
            stream.write(text if self._held else _ERASE + text)
            stream.flush()
            self._held = not whole
            self.draw()


class Above:
    """A terminal's stream, for text above the line.

    Args:
        stream: the terminal's.
        line: what is shown at its bottom.
    """

    def __init__(self, stream: TextIO, line: ProgressLine) -> None:
        self._stream = stream
        self._line = line
        self._rest = ''

    def write(self, text: str) -> int:
        """Write the lines that are complete."""
        whole, end, self._rest = (self._rest + text).rpartition('\n')
        if end:
            self._line.write(self._stream, whole + end, whole=True)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several."""
        self.write(''.join(lines))

    def flush(self) -> None:
        """Write the beginning of a line as well, such as a question or another one's bar."""
        if self._rest:
            text, self._rest = self._rest, ''
            self._line.write(self._stream, text, whole=False)
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Be the terminal's stream in all else."""
        return getattr(self._stream, name)


def _fitting(losses: dict[str, float], width: int) -> str:
    """Write losses as far as there is room, none of them in part."""
    text = ''
    for name, value in losses.items():
        longer = f'{text}  {name} {value:.4g}'.lstrip()
        if len(longer) > width:
            break
        text = longer
    return text


class _Console(Console):
    """A console that never hides the cursor: who is killed cannot show it again."""

    def show_cursor(self, show: bool = True) -> bool:
        return False
