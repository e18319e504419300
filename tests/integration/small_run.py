"""A folder of photographs and the options that make configs/mini/detco_r18.py take seconds."""

import contextlib
import os
import socket
import subprocess
import sys

import cv2
import psutil
from skimage import data

from tests.devices import DETERMINISTIC, ENVIRONMENT
from tests.integration.forked import ROOT, Forked, behind, python

CONFIG = 'configs/mini/detco_r18.py'
NARROW = [
    'model.backbone.stem_channels=8',
    'model.backbone.base_channels=8',
    'model.neck.out_channels=16',
    'model.queue_len=8',
    'model.bn_splits=1',
    'train_dataloader.batch_size=4',
    'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
    'train_dataloader.dataset.pipeline.0.global_size=32',
    'train_dataloader.dataset.pipeline.0.local_size=72',
    'train_dataloader.dataset.pipeline.1.patch_size=24',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=1',
    'train_cfg.max_epochs=3',
    *DETERMINISTIC,
]


def photographs(folder, count):
    """Write `count` square crops of photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    astronaut = data.astronaut()[..., ::-1]
    for at in range(count):
        top, left = 24 * (at // 4), 40 * (at % 4)
        cv2.imwrite(str(folder / f'{at:02d}.jpg'), astronaut[top : top + 64, left : left + 64])
    return folder


def command(script, *arguments, options=()):
    """Command line of one of the project's tools."""
    line = [sys.executable] if script.endswith('.py') else ['bash']
    return [*line, script, *map(str, arguments), '--cfg-options', *NARROW, *options]


def start(line, log, **environment):
    """Start a command; its output goes to a file. Scripts of Python's get processes with the stack imported.

    So does torchrun, whose ranks a shell script does not see then: with PYTHON=sys.executable it starts the real one.
    """
    with open(log, 'w') as out:
        forks = {'PYTHON': python(), 'PYTHON_EXEC': python()}  # of tools/launch.sh, and of torchrun for its ranks
        variables = {**os.environ, **ENVIRONMENT, 'OMP_NUM_THREADS': '1', **forks, **environment}
        if line[0] == sys.executable and line[1].endswith('.py'):
            return Forked(line[1:], out, out, env=variables)
        return subprocess.Popen(
            line,
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=variables,
        )


def free_port():
    """A port of this machine at which nobody listens, as text for the environment."""
    with socket.socket() as found:
        found.bind(('', 0))
        return str(found.getsockname()[1])


def started_by(run):
    """All processes below one that was started: torchrun, its ranks, their data workers, and their stand-ins."""
    found, to_look_at = [], [run.pid]
    while to_look_at:
        pid = to_look_at.pop()
        below = []
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended
            below += psutil.Process(pid).children()
        with contextlib.suppress(psutil.NoSuchProcess):
            below += [psutil.Process(number)] if (number := behind(pid)) else []
        found += below
        to_look_at += [process.pid for process in below]
    return found


def rank_of(run, number):
    """The process that is a rank of a run by tools/dist_train.sh."""
    return next(
        psutil.Process(behind(process.pid) or process.pid)
        for process in started_by(run)
        if 'train.py' in ' '.join(process.cmdline()) and process.environ().get('RANK') == str(number)
    )


def kill_all(run, started=None):
    """Have the machine fail: kill -9 of everything at once; `started` is what was known to be below the run."""
    for process in [*(started_by(run) if started is None else started), run]:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass  # it has gone with its parent
    run.wait()
