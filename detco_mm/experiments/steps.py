"""A chain of commands that can be stopped anywhere and goes on where it was."""

import contextlib
import hashlib
import json
import os
import pprint
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from detco_mm.checkpoints.files import write_atomically
from detco_mm.visualization.progress import Forecast, clock, fraction_done, tail

LAST_CHECKPOINT = 'LAST_CHECKPOINT'  # in a command: <work dir>/LAST_CHECKPOINT is the path of the run's last checkpoint


@dataclass
class Step:
    """One command.

    Args:
        name: unique in the chain; a path below the chain's work directory, where its log and its stamp go.
        title: what a reader is told that it does.
        command: the command line; paths are relative to the project.
        seconds: how long it takes on two CPU cores, for the forecast.
        folder: what it fills, and what is cleared before it runs anew.
        iterations: of a training, whose progress the folder's scalars tell.
        needs: names of the steps whose results it uses; it is repeated when they are.
        config: text of the config with all overrides, so that a change of it repeats the step.
        resume: what is added to the command to have it go on from what it left in the folder; None if it begins anew.
        config_file: where `config` is written before the command runs; None if the command needs no such file.
    """

    name: str
    title: str
    command: list[str]
    seconds: float = 1.0
    folder: Path | None = None
    iterations: int = 0
    needs: tuple[str, ...] = ()
    config: str = ''
    resume: Sequence[str] | None = None
    config_file: Path | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What makes this step the one that was done before; which Python runs it does not."""
        return {'command': self.command[1:], 'config': hashlib.sha256(self.config.encode()).hexdigest()}


def option_list(options: Mapping[str, Any]) -> list[str]:
    """Write settings as the values of ``--cfg-options``."""
    return [f'{key}={str(value).replace(" ", "")}' for key, value in options.items()]


def config_text(config: Config) -> str:
    """Write a config with all that it is based on as a file that reads as the same config."""
    plain = config._cfg_dict.to_dict()
    return ''.join(f'{key} = {pprint.pformat(value, width=120, sort_dicts=False)}\n' for key, value in plain.items())


def moved(config: Any, old: str, new: str, prefix: str = '') -> dict[str, str]:
    """Find the settings that lead a config from one data folder to another.

    Args:
        config: a config as plain dicts and lists.
        old: folder that it names, wherever it does.
        new: folder to name instead.
        prefix: dotted name of `config` itself.

    Returns:
        New values by dotted name.
    """
    if isinstance(config, str):
        return {prefix: new + config[len(old) :]} if config == old or config.startswith(old + '/') else {}
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    found: dict[str, str] = {}
    for key, value in items:
        found |= moved(value, old, new, f'{prefix}.{key}' if prefix else str(key))
    return found


def overridden(path: str | Path, options: Mapping[str, Any]) -> Config:
    """Read a config as a training command with these ``--cfg-options`` will see it."""
    config = Config.fromfile(str(path))
    config.merge_from_dict(dict(options))
    return config


def last_checkpoint(folder: str | Path) -> str:
    """Return the path of the last checkpoint that a training run wrote.

    Raises:
        FileNotFoundError: if it wrote none.
    """
    return (Path(folder) / 'last_checkpoint').read_text().strip()


def run_step(
    step: Step, number: str, log: Path, forecast: Forecast, root: Path, resume: Sequence[str] | None = None
) -> float:
    """Run one step to its end, saying how far it is and how long all steps will still take.

    Args:
        step: what to run.
        number: which one it is, such as '2 of 5'.
        log: file for its output.
        forecast: of the whole chain.
        root: the project's root, where commands run.
        resume: arguments that have it go on with what an earlier attempt left; None to begin.

    Returns:
        Seconds that it took.

    Raises:
        SystemExit: if the command fails, after the end of its log was shown.
    """
    marker = f'/{LAST_CHECKPOINT}'
    command = [last_checkpoint(part.removesuffix(marker)) if part.endswith(marker) else part for part in step.command]
    going_on = resume is not None
    command += resume or ()
    print(f'step {number}: {step.title}{", going on where it was" if going_on else ""}', flush=True)
    print(f'  $ python {" ".join(command[1:])}\n  log: {log}', flush=True)
    start, said, live = time.monotonic(), 0.0, sys.stdout.isatty()
    before = fraction_done(step.folder, step.iterations) if going_on and step.folder else 0.0
    forecast.begin(before)
    with log.open('a' if going_on else 'w') as out:
        child = subprocess.Popen(
            command,
            cwd=root,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'PYTHONUNBUFFERED': '1', 'MPLBACKEND': 'Agg'},
        )
        try:
            while child.returncode is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0.5)
                elapsed = time.monotonic() - start
                if elapsed - said < (1 if live else 20):
                    continue
                said, done = elapsed, fraction_done(step.folder, step.iterations) if step.folder else 0.0
                new = max(0.0, done - before) / max(1 - before, 1e-9)
                line = (
                    f'  {100 * done:3.0f} % ' if step.iterations else '  '
                ) + f'{clock(elapsed)} elapsed, about {clock(forecast.left(elapsed, new))} left overall'
                print(f'\r{line:<70}' if live else line, end='' if live else '\n', flush=True)
        except BaseException:
            child.terminate()
            child.wait()
            raise
    seconds = time.monotonic() - start
    if child.returncode:
        print(f'\n{tail(log)}\n\nstep {number} failed with exit code {child.returncode}; its log is {log}', flush=True)
        sys.exit(1)
    print(f'\r  done in {clock(seconds)}'.ljust(70 if live else 0), flush=True)
    return seconds


def run_chain(
    steps: Sequence[Step], work: Path, root: Path, fresh: bool = False, always: Sequence[str] = ()
) -> dict[str, float]:
    """Run the steps that are not done yet.

    A step is done if it ended well with the same command and config, and nothing that it needs was done since.

    Args:
        steps: in an order in which each comes after what it needs.
        work: work directory; a step's log is NAME.log there, the stamp that it is done NAME.done.json.
        root: the project's root, where commands run.
        fresh: repeat everything.
        always: names of steps that find out by themselves what is left to do.

    Returns:
        Seconds that each step took, now or when it was done.
    """
    forecast = Forecast([step.seconds for step in steps])
    stamps = {step.name: work / f'{step.name}.done.json' for step in steps}
    seconds: dict[str, float] = {}
    for at, step in enumerate(steps):
        stamp, begun = stamps[step.name], work / f'{step.name}.begun.json'
        stamp.parent.mkdir(parents=True, exist_ok=True)
        number = f'{at + 1} of {len(steps)}'
        needed = max((_read(stamps[name])['ended'] for name in step.needs), default=0.0)

        def valid(record: dict[str, Any], step: Step = step, needed: float = needed) -> bool:
            same = {key: record.get(key) for key in step.identity} == step.identity
            there = step.folder is None or step.folder.is_dir()
            return same and there and not fresh and record['began'] >= needed

        done, before = _read(stamp), _read(begun)
        if valid(done) and step.name not in always:
            print(f'step {number}: {step.title}: done before', flush=True)
            seconds[step.name] = done['seconds']
            forecast.finish(None)
            continue
        resume = step.resume if valid(before) else None
        if step.folder and resume is None:
            shutil.rmtree(step.folder, ignore_errors=True)
        if step.config_file:
            write_atomically(step.config_file, step.config)
        began = time.time() if resume is None else before['began']
        write_atomically(begun, json.dumps({**step.identity, 'began': began}))
        # What an interrupted attempt took is not known, and not counted.
        seconds[step.name] = run_step(step, number, work / f'{step.name}.log', forecast, root, resume)
        forecast.finish(seconds[step.name])
        ended = done['ended'] if valid(done) else time.time()
        record = {**step.identity, 'began': began, 'ended': ended, 'seconds': seconds[step.name]}
        write_atomically(stamp, json.dumps(record))
        begun.unlink()
    return seconds


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
