"""The server that forks processes for the tests gives what a process of its own would be."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.integration import forked
from tests.integration.forked import Forked
from tests.integration.ranks import on_ranks
from tests.integration.small_run import started_by

SEEN = """
import json, os, random, signal, sys, threading
import numpy as np
print(json.dumps(dict(
    pid=os.getpid(), cwd=os.getcwd(), env=dict(os.environ), argv=sys.argv, path=sys.path, name=__name__,
    group=os.getpgrp(), tests=[name for name in sys.modules if name.split('.')[0] == 'tests'],
    open=sorted(int(fd) for fd in os.listdir('/proc/self/fd')), threads=len(os.listdir('/proc/self/task')),
    handlers=[str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1)],
    modules=sorted({'torch', 'mmengine', 'detco_mm'} & set(sys.modules)), drawn=[random.random(), np.random.rand()],
)))
print('complaint', file=sys.stderr)
sys.exit(len(sys.argv))
"""


@pytest.fixture
def script(tmp_path):
    def write(text):
        (tmp_path / 'script.py').write_text(text)
        return [sys.executable, tmp_path / 'script.py']

    return write


def test_a_child_sees_what_a_process_of_its_own_would(script, tmp_path):
    line = [*script(SEEN), 'a', 'b']
    environment = {'PATH': os.environ['PATH'], 'PYTHONPATH': '/one:/two', 'OMP_NUM_THREADS': '1', 'LC_ALL': 'C.UTF-8'}
    real = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    done = [forked.run(line, cwd=tmp_path, env=environment) for _ in range(2)]
    expected, found = json.loads(real.stdout), [json.loads(one.stdout) for one in done]
    assert {one.stderr for one in done} == {real.stderr} and {one.returncode for one in done} == {real.returncode} == {
        3
    }
    assert found[0]['modules'] == ['detco_mm', 'mmengine', 'torch']
    assert len({one['pid'] for one in found}) == 2
    for kind in (0, 1):  # random numbers of Python and of NumPy
        assert found[0]['drawn'][kind] != found[1]['drawn'][kind]
    for one in (expected, *found):
        del one['pid'], one['drawn'], one['modules']
    for one in found:
        assert one['path'][:3] == expected['path'][:3] and set(expected['path']) <= set(one.pop('path'))
        assert one == {key: value for key, value in expected.items() if key != 'path'}


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_signals_reach_a_child_and_are_its_exit_code(number, script, tmp_path):
    with open(tmp_path / 'log', 'w') as log:
        run = Forked(script('import time\ntime.sleep(60)')[1:], log, log)
    server = psutil.Process(run.pid).parent()  # of this process, or of all workers and theirs
    assert server.ppid() in (os.getpid(), os.getppid()) and run.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        run.wait(0.01)
    run.send_signal(number)
    assert run.wait(30) == run.poll() == run.returncode == -number and not psutil.pid_exists(run.pid)
    run.kill()  # harmless


def test_an_error_ends_a_child_as_any_interpreter(script):
    done = forked.run(script('import atexit\natexit.register(print, "bye")\nraise ValueError("so")'))
    assert done.returncode == 1 and done.stderr.endswith('ValueError: so\n') and done.stdout == 'bye\n'
    done = forked.run(script('import sys\nsys.exit("no such file")'))
    assert done.returncode == 1 and done.stderr == 'no such file\n'
    waits = 'import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.3), print("late"))).start()'
    assert forked.run(script(waits)).stdout == 'late\n'
    assert forked.run(script('raise KeyboardInterrupt')).returncode == -signal.SIGINT


def test_files_beyond_the_limit_cannot_be_written(script, tmp_path):
    done = forked.run(script(f'open({str(tmp_path / "large")!r}, "wb", 0).write(bytes(3000))'), file_size=2000)
    assert done.returncode == 0 and (tmp_path / 'large').stat().st_size == 2000


def test_the_server_has_one_thread_after_its_children_have_trained(script):
    train = 'import os, torch\ntorch.randn(8, 8, requires_grad=True).sum().backward()\nprint(os.getppid())'
    server = psutil.Process(int(forked.run(script(train)).stdout))
    assert 'tests/server.py' in ' '.join(server.cmdline()) and server.num_threads() == 1


def fails_on_the_second(rank):
    if rank == 1:
        raise ValueError('no such rank')
    time.sleep(60)


def test_a_rank_that_fails_ends_the_others_and_is_shown():
    with pytest.raises(RuntimeError, match='(?s)rank 1: .*fails_on_the_second.*ValueError: no such rank'):
        on_ranks(fails_on_the_second, 2)


CHAIN = """
import subprocess, sys, time
if len(sys.argv) > 1:
    print('ended by', subprocess.run([sys.executable, *sys.argv[1:]]).returncode)
else:
    print('started', 'torch' in sys.modules, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def chain(script, tmp_path):
    """Start a tool, which may start itself, by the server's python; return it, its log, and the server's child last."""

    def start(*arguments):
        path = script(CHAIN)[1]
        with open(tmp_path / 'log', 'w') as log:
            run = subprocess.Popen([forked.python(), '-u', path, *(path for _ in arguments)], stdout=log)
        while run.poll() is None and 'started' not in (tmp_path / 'log').read_text():
            time.sleep(0.02)
        return run, tmp_path / 'log', started_by(run)[-1]

    return start


def test_what_a_tool_starts_comes_from_the_server_too_with_its_exit_code(chain):
    run, log, inner = chain('itself')
    inner.terminate()
    assert run.wait(30) == 0 and log.read_text() == 'started True\nended by -15\n'


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_servers_python_is_one_to_the_tool(number, chain):
    run, _, tool = chain()
    run.send_signal(number)
    assert run.wait(30) == -number
    tool.wait(30)


def test_the_servers_python_leaves_other_work_to_the_real_one():
    line = [forked.python(), '-c', 'import os, sys; print(sys.executable, "torch" in sys.modules)']
    assert subprocess.check_output(line, text=True).split() == [sys.executable, 'False']
