"""A process with the stack imported, which forks: a tool starts in milliseconds instead of seconds.

tests/integration/forked.py starts one per pytest process, ``python tests/server.py CONTROL LISTENER`` with the numbers
of two sockets, and asks it over the first for children; tests/shim.py connects to the second. Each is a process of its
own with a real pid, arguments, environment, folder and files, so that signals, kills and exit codes are those of the
tool. The server itself has one thread and runs no operation of PyTorch: threads of OpenMP or autograd would not survive
the fork.

What a child cannot show is how a tool fares in a fresh interpreter, whose imports have yet to happen. The tests of mim,
the wheel, platforms, versions and signals to torchrun start real ones.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import runpy
import selectors
import signal
import socket
import sys
from typing import Any

# What the tools import in the end. MMDetection and MMSegmentation may be absent.
STACK = [
    'detco_mm', 'detco_mm.models', 'detco_mm.datasets', 'detco_mm.transforms', 'detco_mm.engine.launch',
    'detco_mm.engine.hooks', 'detco_mm.evaluation.frozen', 'detco_mm.weights', 'detco_mm.visualization',
    'mmselfsup.models', 'mmselfsup.datasets', 'mmcls.models', 'mmcls.datasets', 'mmcls.evaluation',
    'torch.utils.tensorboard', 'torch.distributed.run',
    'mmdet.models', 'mmdet.datasets', 'mmdet.evaluation', 'mmseg.models', 'mmseg.datasets',
]  # fmt: skip
#: The largest request: more than Linux allows the environment of a process in most places.
REQUEST_BYTES = 1 << 17


def import_stack() -> None:
    """Import what can be imported."""
    for name in STACK:
        try:
            importlib.import_module(name)
        except ImportError:
            if name.startswith('detco_mm'):
                raise


def format_once() -> None:
    """Have MMEngine format the text of a config once and not six times a run: yapf takes 0.2 s for it."""
    config: Any = importlib.import_module('mmengine.config.config')
    format_code, formatted = config.FormatCode, {}

    def once(text: str, **style: Any) -> tuple[str, bool]:
        if text not in formatted:
            formatted[text] = format_code(text, **style)
        return formatted[text]

    config.FormatCode = once


def write_reports_if_asked() -> None:
    """End a run with its page only where TEST_REPORTS is in the environment: it takes seconds, of hundreds of runs."""
    hook: Any = importlib.import_module('detco_mm.engine.hooks').WriteReport
    after_run = hook.after_run

    def if_asked(self: Any, runner: Any) -> None:
        if os.environ.get('TEST_REPORTS'):
            after_run(self, runner)

    hook.after_run = if_asked


def serve(control: socket.socket, listener: socket.socket) -> dict[str, Any] | None:
    """Fork a child for each request and report its pid and, once it has ended, its exit code.

    A child whose report nobody can read any more is killed.

    Returns:
        In a child its request; in the server None, once the other side has closed `control`.
    """
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(listener, selectors.EVENT_READ)
    reports: dict[int, tuple[int, int]] = {}  # pidfd -> pid, file for the report
    while True:
        for key, _ in selector.select():
            if key.fd not in selector.get_map():
                continue  # the child of this report has ended in the same round
            if key.fd in reports:
                selector.unregister(key.fd)
                pid, report = reports.pop(key.fd)
                if report in selector.get_map():
                    selector.unregister(report)
                _report(report, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(key.fd)
                os.close(report)
                continue
            if isinstance(key.data, int):
                selector.unregister(key.fd)
                os.kill(key.data, signal.SIGKILL)
                continue
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            asking: socket.socket = key.fileobj  # type: ignore[assignment]
            message, files, _, _ = socket.recv_fds(asking, REQUEST_BYTES, 3)
            if not message and asking is control:
                for pid, _ in reports.values():
                    os.kill(pid, signal.SIGKILL)
                return None
            if not message:
                selector.unregister(asking)
                asking.close()
                continue
            pid = os.fork()
            if pid == 0:
                sockets = [key.fileobj for key in selector.get_map().values() if isinstance(key.fileobj, socket.socket)]
                selector.close()
                for fd in [*(one.detach() for one in sockets), files[2], *reports]:
                    os.close(fd)
                for _, report in reports.values():
                    os.close(report)
                return {**json.loads(message), 'stdout': files[0], 'stderr': files[1]}
            for fd in files[:2]:
                os.close(fd)
            _report(files[2], pid)
            pidfd = os.pidfd_open(pid)
            reports[pidfd] = pid, files[2]
            selector.register(pidfd, selectors.EVENT_READ)
            selector.register(files[2], selectors.EVENT_READ, pid)  # of a pipe's end for writing: that nobody reads


def _report(file: int, number: int) -> None:
    try:
        os.write(file, f'{number}\n'.encode())
    except BrokenPipeError:
        pass  # nobody waits for this child any more


def become(request: dict[str, Any], paths: list[str]) -> None:
    """Be the process that was asked for: a script by its arguments, a module's main(), or a function by its name.

    Args:
        request: what `forked.Forked` sends.
        paths: of `sys.path` behind the script's own folder and those of PYTHONPATH.
    """
    for number, file in enumerate((request['stdout'], request['stderr']), 1):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request['cwd'])
    os.environ.clear()
    os.environ.update(request['env'])
    if request['file_size'] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request['file_size'],) * 2)
    sys.modules['numpy'].random.seed()  # as a new process has it; `random` does so by itself, PyTorch does not
    sys.argv, sys.executable = request['line'], request['executable']
    first = request['cwd'] if request['function'] else os.path.dirname(os.path.abspath(sys.argv[0]))
    own = [path for path in request['env'].get('PYTHONPATH', '').split(os.pathsep) if path]
    sys.path[:] = [first, *own, *paths]
    if request['function']:
        module, name = request['function'].split(':')
        getattr(importlib.import_module(module), name)(*sys.argv[1:])
    elif request['module']:
        importlib.import_module(request['module']).main()
    else:
        runpy.run_path(sys.argv[0], run_name='__main__')


class Exit:
    """The quick way out of a child: all that an interpreter does at its end, but for taking the stack apart.

    That would take 3 s of CPU time, to copy each page that it touches first. It has to be made before anything else
    registers with `atexit`, so that it is the last to be called.
    """

    def __init__(self) -> None:
        self.code: int | None = 0
        atexit.register(self._leave)

    def _leave(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if self.code is None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        else:
            os._exit(self.code)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> None:
        """Note the exit code; the interpreter prints what there is to print."""
        if isinstance(error, SystemExit):
            self.code = 0 if error.code is None else error.code & 0xFF if isinstance(error.code, int) else 1
        elif isinstance(error, KeyboardInterrupt):
            self.code = None  # it ends by the signal that it got
        elif error is not None:
            self.code = 1


def main() -> None:
    """Serve; in a child, run what was asked for and end as any interpreter does."""
    ending = Exit()
    control, listener = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    own = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    paths = [path for path in sys.path[1:] if path not in own]
    import_stack()
    format_once()
    write_reports_if_asked()
    gc.collect()
    gc.freeze()  # so that children need not copy what the collector would touch
    if (request := serve(control, listener)) is not None:
        with ending:
            become(request, paths)


if __name__ == '__main__':
    main()
