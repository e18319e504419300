"""Each repair, shown by the failure without it."""

import os
import subprocess
import sys

from detco_mm.compat import repairs

WITHOUT = 'from mmengine.runner import Runner\n'
WITH = 'import detco_mm\n' + WITHOUT


def run(code, **environment):
    """Run code in a fresh process; return its exit code and output."""
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', **environment},
    )
    return done.returncode, done.stdout + done.stderr


MISSING_LOCATION = """
import mmselfsup.registry
from mmengine.registry import LOOPS
with LOOPS.switch_scope_and_registry('mmselfsup') as loops:
    print(loops.get('EpochBasedTrainLoop').__name__)
"""


def test_mmselfsups_missing_modules_break_its_registries_and_are_dropped():
    code, output = run(WITHOUT + MISSING_LOCATION)
    assert code != 0 and "No module named 'mmselfsup.engine.runner'" in output
    code, output = run(WITH + MISSING_LOCATION)
    assert code == 0 and 'EpochBasedTrainLoop' in output, output


SAFE_LOAD = """
import io, torch
from mmengine.logging import MessageHub
hub = MessageHub.get_instance('written')
for value in (1.0, 2.0, 4.0):
    hub.update_scalar('train/loss', value)
hub.update_info('iter', 3)
file = io.BytesIO()
torch.save(hub.state_dict(), file)
file.seek(0)
read = MessageHub.get_instance('read')
read.load_state_dict(torch.load(file, weights_only=True))
print(read.get_scalar('train/loss').mean(3), read.get_info('iter'))
"""


def test_checkpoints_with_a_message_hub_do_not_load_safely_and_do_in_plain_types():
    code, output = run(WITHOUT + SAFE_LOAD)
    assert code != 0 and 'Weights only load failed' in output
    code, output = run(WITH + SAFE_LOAD)
    assert code == 0 and output.split() == ['2.3333333333333335', '3'], output


ONE_RANK = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1')
INIT_DIST = """
from mmengine.dist import get_backend, init_dist
init_dist('pytorch', backend='nccl')
print(get_backend())
"""


def test_a_process_group_without_a_gpu_fails_and_becomes_gloo():
    code, output = run(WITHOUT + INIT_DIST, **ONE_RANK, MASTER_PORT='29611')
    assert code != 0 and ('NVIDIA' in output or 'CUDA' in output)
    code, output = run(WITH + INIT_DIST, **ONE_RANK, MASTER_PORT='29612')
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


def test_ddp_on_the_cpu_is_refused_and_becomes_possible():
    code, output = run(WITHOUT + WRAP, **ONE_RANK, MASTER_PORT='29613')
    assert code != 0 and 'device_ids' in output
    code, output = run(WITH + WRAP, **ONE_RANK, MASTER_PORT='29614')
    assert code == 0 and 'MMDistributedDataParallel None False' in output, output


HISTORY = """
from mmengine.logging import MessageHub
hub = MessageHub.get_instance('run')
for step in range(10_100):
    hub.update_scalar('loss', step)
history = hub.get_scalar('loss')
print(len(history.data[0]), history.current(), history.mean(10))
"""


def test_what_is_kept_of_a_logged_scalar_grows_with_the_run_and_ends_at_ten_thousand_values():
    assert run(WITHOUT + HISTORY) == (0, '10100 10099 10094.5\n')
    assert run(WITH + HISTORY) == (0, '10000 10099 10094.5\n')


def test_repairs_are_in_place_once_the_package_is_imported():
    assert repairs.repair() == []
