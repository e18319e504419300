"""Each repair, shown by the failure without it."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from mmengine.utils.dl_utils import misc

from detco_mm.compat import repairs
from tests.integration import forked
from tests.integration.small_run import free_port

WITHOUT = 'from mmengine.runner import Runner\n'
WITH = 'import detco_mm\n' + WITHOUT


FORKS = """
import os, runpy, sys
import torch.distributed
from mmengine.runner import Runner
for path in sys.argv[1:]:
    if os.fork() == 0:
        os.dup2(os.open(path + '.out', os.O_WRONLY | os.O_CREAT), 1)
        os.dup2(1, 2)
        runpy.run_path(path)
        sys.exit(0)
    os.wait()
"""


def run(code, **environment):
    """Run code in a process that has imported the package; return its exit code and output."""
    done = forked.run_code(code, env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', **environment})
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope='module')
def without(tmp_path_factory):
    """What each of the codes prints in a process without the package: children of one that has MMEngine imported."""
    folder, environment = tmp_path_factory.mktemp('without'), {**ONE_RANK, 'MASTER_PORT': free_port()}
    codes = dict(location=MISSING_LOCATION, init=INIT_DIST, wrap=WRAP)
    for name, code in codes.items():
        (folder / name).write_text(WITHOUT + code)
    line = [sys.executable, '-c', FORKS, *(folder / name for name in codes)]
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', **environment}
    subprocess.run(line, env=environment, check=False, stderr=subprocess.DEVNULL, timeout=120)
    return {name: (folder / f'{name}.out').read_text() for name in codes}


MISSING_LOCATION = """
import mmselfsup.registry
from mmengine.registry import LOOPS
with LOOPS.switch_scope_and_registry('mmselfsup') as loops:
    print(loops.get('EpochBasedTrainLoop').__name__)
"""


def test_mmselfsups_missing_modules_break_its_registries_and_are_dropped(without):
    assert "No module named 'mmselfsup.engine.runner'" in without['location']
    code, output = run(WITH + MISSING_LOCATION)
    assert code == 0 and 'EpochBasedTrainLoop' in output, output


ONE_RANK = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1')
INIT_DIST = """
from mmengine.dist import get_backend, init_dist
init_dist('pytorch', backend='nccl')
print(get_backend())
"""


def test_a_process_group_without_a_gpu_fails_and_becomes_gloo(without):
    assert 'Error' in without['init'] and ('NVIDIA' in without['init'] or 'CUDA' in without['init'])
    code, output = run(WITH + INIT_DIST, **ONE_RANK, MASTER_PORT=free_port())
    assert code == 0 and 'gloo' in output, output


WRAP = """
import torch, torch.distributed
from mmengine.config import Config
torch.distributed.init_process_group('gloo')
class Ranks:
    distributed, cfg = True, Config({})
wrapped = Runner.wrap_model(Ranks(), None, torch.nn.Linear(2, 2))
print(type(wrapped).__name__, wrapped.device_ids, wrapped.broadcast_buffers)
"""


def test_ddp_on_the_cpu_is_refused_and_becomes_possible(without):
    assert 'Error' in without['wrap'] and 'device_ids' in without['wrap']
    code, output = run(WITH + WRAP, **ONE_RANK, MASTER_PORT=free_port())
    assert code == 0 and 'MMDistributedDataParallel None False' in output, output


NCCL_IS_ASKED_FOR = """
import torch.distributed
from mmengine.dist import init_dist
init_dist('pytorch', backend={!r})
"""


def test_a_backend_that_needs_no_gpu_is_the_one_that_was_asked_for():
    code, output = run(WITH + NCCL_IS_ASKED_FOR.format('no-such-backend'), **ONE_RANK, MASTER_PORT=free_port())
    assert code != 0 and 'no-such-backend' in output


UNUSED = WRAP.replace('Config({})', 'Config(dict(find_unused_parameters=True))').replace(
    'wrapped.broadcast_buffers', 'wrapped.find_unused_parameters'
)


def test_the_runs_own_setting_of_ddp_holds_on_the_cpu():
    code, output = run(WITH + UNUSED, **ONE_RANK, MASTER_PORT=free_port())
    assert code == 0 and 'MMDistributedDataParallel None True' in output, output


def test_mmcvs_operations_are_found_where_pkgutil_finds_no_loaders(monkeypatch):
    monkeypatch.setattr(misc, 'pkgutil', SimpleNamespace())  # as in Python 3.14, where that function is missing
    with pytest.raises(AttributeError, match='find_loader'):
        misc.mmcv_full_available()
    assert repairs.find_compiled_mmcv_on_python_3_14()
    assert misc.mmcv_full_available() and not repairs.find_compiled_mmcv_on_python_3_14()


def test_repairs_are_in_place_once_the_package_is_imported():
    assert repairs.repair() == []
