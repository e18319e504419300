"""Ranks on one machine meet without a port being chosen; what cannot work is said before anything starts."""

import os
import shutil
import socket
import subprocess

import pytest

from tests.integration.forked import ROOT, python

TOOL = """
import os, sys, time
import torch, torch.distributed
torch.distributed.init_process_group('gloo')
ones = torch.ones(1)
torch.distributed.all_reduce(ones)
folder, me = sys.argv[1:3]
open(os.path.join(folder, f'{me}-{os.environ["RANK"]}'), 'w').write(f'{ones.item():g} {os.environ["MASTER_PORT"]}')
until = time.time() + 60
while len([name for name in os.listdir(folder) if '-' in name]) < 4 and time.time() < until:
    time.sleep(0.05)  # the other run is there as well
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


@pytest.fixture
def launch(tmp_path):
    """Start tools/launch.sh in an environment that has bash and cat, but neither nproc nor ps."""
    (tmp_path / 'bin').mkdir()
    for name in ('bash', 'cat', 'dirname', 'env'):
        (tmp_path / 'bin' / name).symlink_to(shutil.which(name))
    (tmp_path / 'tool.py').write_text(TOOL)
    (tmp_path / 'met').mkdir()

    def start(*arguments, **environment):
        unset = ('PORT', 'NNODES', 'NODE_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'OMP_NUM_THREADS')
        variables = {name: value for name, value in os.environ.items() if name not in unset}
        variables |= dict(PATH=str(tmp_path / 'bin'), PYTHON=python(), PYTHON_EXEC=python(), **environment)
        line = ['bash', ROOT / 'tools/launch.sh', 2, tmp_path / 'tool.py', tmp_path / 'met', *arguments]
        return subprocess.Popen(
            list(map(str, line)), env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return start


def test_two_runs_at_once_need_no_port(launch, tmp_path):
    runs = [launch('a'), launch('b')]
    for run in runs:
        said, _ = run.communicate(timeout=120)
        assert run.returncode == 0, said
    met = {path.name: path.read_text().split() for path in (tmp_path / 'met').iterdir()}
    assert all(count == '2' for count, _ in met.values())  # no run met ranks of the other
    assert met['a-0'][1] == met['a-1'][1] != met['b-0'][1] == met['b-1'][1]


@pytest.mark.parametrize('restarts', ['0', '1'])
def test_a_port_in_use_is_named_before_anything_starts(restarts, launch, tmp_path):
    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = launch('a', PORT=str(port), MAX_RESTARTS=restarts)
        said, _ = run.communicate(timeout=60)
    assert (
        run.returncode == 2 and f'PORT={port} cannot be used on this machine (Address already in use): set PORT' in said
    )
    assert len(said.splitlines()) == 1 and not list((tmp_path / 'met').iterdir())


@pytest.mark.parametrize(
    ('environment', 'words'),
    [
        (dict(PORT='29500x'), 'PORT="29500x": give a number from 1 to 65535'),
        (dict(NNODES='2'), 'NNODES=2 without MASTER_ADDR: on every machine, set it to the address of the first one'),
    ],
)
def test_what_cannot_be_met_at_is_refused(environment, words, launch):
    run = launch('a', **environment)
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 2 and words in said and len(said.splitlines()) == 1
