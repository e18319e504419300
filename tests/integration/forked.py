"""Processes that tests/server.py forks, with the face of `subprocess`."""

import atexit
import functools
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]


#: In the environment: the folder of the server that another process has started.
SHARED = 'DETCO_TEST_SERVER'


@functools.cache
def _server() -> tuple[socket.socket, Path]:
    """Connect to the server, started first if nobody has; return the connection, and a folder with `socket` in it.

    The server ends with the process that has started it.
    """
    if folder := os.environ.get(SHARED):
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.connect(f'{folder}/socket')
        return ours, Path(folder)
    folder = tempfile.mkdtemp(prefix='server')
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f'{folder}/socket')
    listener.listen()
    with theirs, listener:
        numbers = [theirs.fileno(), listener.fileno()]
        server = subprocess.Popen(
            [sys.executable, ROOT / 'tests/server.py', *map(str, numbers)],
            cwd=ROOT,
            # counted without CUDA's help, GPUs stay usable in processes that are forked
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTORCH_NVML_BASED_CUDA_CHECK': '1'},
            pass_fds=numbers,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        server.wait()
        shutil.rmtree(folder)

    atexit.register(end)
    return ours, Path(folder)


def share() -> None:
    """Start the server now, for all processes that this one will start."""
    python()  # before two of them write it
    os.environ[SHARED] = str(_server()[1])


@functools.cache
def python() -> str:
    """Return a program to call as `python`: its scripts, and those that they start, are children of the server."""
    _, folder = _server()
    program = folder / 'python'
    if not program.exists():
        line = [sys.executable, '-I', '-S', str(ROOT / 'tests/shim.py'), str(folder / 'socket')]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(line)} "$@"\n')
        program.chmod(0o755)
    return str(program)


def behind(pid: int) -> int | None:
    """Return the process whose stand-in was started with `python`; None if this one is no stand-in."""
    note = _server()[1] / str(pid)
    return int(note.read_text()) if note.exists() else None


class Forked:
    """A child of the server.

    Args:
        line: a script and its arguments, as behind `python`; with `function`, a name for it and text arguments.
        stdout, stderr: open files.
        env: all of its environment; by default that of this process.
        executable: what it starts as `sys.executable`; by default one whose scripts are children of the server, too.
        function: ``module:name`` of what to call with the arguments, instead of a script.
        file_size: limit of the files that it writes, in bytes: beyond it they get an error, as on a full disk.
    """

    def __init__(
        self,
        line: Sequence[object],
        stdout: IO,
        stderr: IO,
        cwd: Path = ROOT,
        env: dict[str, str] | None = None,
        function: str | None = None,
        file_size: int | None = None,
        executable: str | None = None,
    ) -> None:
        self.args = list(map(str, line))
        self.returncode: int | None = None
        request = dict(
            line=self.args,
            cwd=str(cwd),
            env=dict(os.environ if env is None else env),
            function=function,
            module=None,
            file_size=file_size,
            executable=executable or python(),
        )
        reading, writing = os.pipe()
        try:
            files = [stdout.fileno(), stderr.fileno(), writing]
            socket.send_fds(_server()[0], [json.dumps(request).encode()], files)
        finally:
            os.close(writing)
        self._report = os.fdopen(reading, 'rb', buffering=0)
        self.pid = self._number()

    def _number(self) -> int:
        """Read the next line of the server's report."""
        text = b''
        while not text.endswith(b'\n'):
            part = self._report.read(32)
            if not part:
                raise RuntimeError(f'tests/server.py has ended while it ran {self.args[0]}; see its traceback above')
            text += part
        first, _, rest = text.decode().partition('\n')
        if rest:  # it has ended already
            self.returncode = int(rest)
            self._report.close()
        return int(first)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code; that of a signal is negative."""
        if self.returncode is None:
            if not select.select([self._report], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = self._number()
            self._report.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def run_code(code: str, *arguments: object, **options) -> subprocess.CompletedProcess:
    """Run code as ``python -c CODE ...`` would, in a process that has the stack imported already."""
    with tempfile.NamedTemporaryFile('w', suffix='.py') as script:
        script.write(code)
        script.flush()
        return run([sys.executable, script.name, *arguments], **options)


def run(line: Sequence[object], timeout: float = 600, **options) -> subprocess.CompletedProcess:
    """Run ``python SCRIPT ...`` to its end, as `subprocess.run` does with its output captured as text."""
    assert line[0] == sys.executable, line
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = Forked(line[1:], stdout, stderr, **options)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        said = []
        for file in (stdout, stderr):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(process.args, code, *said)
