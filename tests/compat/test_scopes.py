"""What others in the process see once the package is imported: the stack as it was."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader

from detco_mm.checkpoints.reading import safe_loading
from detco_mm.checkpoints.sealing import find_corruption
from tests.checkpoints.test_reading import Runs
from tests.compat.tiny_run import run

OURS = 'detco_mm.SafeCheckpoint'


def plain(code, *arguments):
    """Run code in a process that does not import the package."""
    line = [sys.executable, '-c', code + "\nimport sys; assert 'detco_mm' not in sys.modules", *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def asks_to_run(tmp_path):
    """A checkpoint that leaves a mark if it is unpickled without restrictions."""
    path = tmp_path / 'asks.pth'
    torch.save(dict(state_dict={}, meta=Runs(os.mkdir, str(tmp_path / 'ran'))), path)
    return path


def test_who_chose_to_load_pickles_may(asks_to_run, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    with safe_loading(), pytest.raises(ValueError, match='asks.pth" is not a checkpoint that loads safely'):
        CheckpointLoader.load_checkpoint(str(asks_to_run))
    assert not (tmp_path / 'ran').exists()
    CheckpointLoader.load_checkpoint(str(asks_to_run))
    assert (tmp_path / 'ran').exists() and os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'


def test_mmengines_own_errors_stay_its_own(asks_to_run):
    with pytest.raises(Exception, match='Weights only load failed'):
        CheckpointLoader.load_checkpoint(str(asks_to_run))


READ = """
import sys, torch
from mmengine.logging import MessageHub
hub = MessageHub.get_instance('read')
hub.load_state_dict(torch.load(sys.argv[1], weights_only=False))
print(hub.get_scalar('train/loss').mean(3), hub.get_info('iter'))
"""


def test_a_message_hub_of_others_is_written_as_mmengine_reads_it(tmp_path):
    hub = MessageHub.get_instance('written by others')
    for value in (1.0, 2.0, 4.5):
        hub.update_scalar('train/loss', value)
    hub.update_info('iter', 3)
    torch.save(hub.state_dict(), tmp_path / 'hub.pth')
    assert plain(READ, tmp_path / 'hub.pth').split() == ['2.5', '3']


def test_a_history_of_others_is_as_long_as_they_want():
    buffer = HistoryBuffer(list(range(20_000)), [1] * 20_000)
    buffer.update(20_000)
    assert buffer.mean(20_000) == 10_000.5


def test_files_of_others_are_written_as_they_are(tmp_path):
    content = io.BytesIO()
    torch.save(torch.zeros(3), content)
    (tmp_path / 'target').write_bytes(b'')
    LocalBackend().put(content.getvalue(), tmp_path / 'target')
    assert (tmp_path / 'target').read_bytes() == content.getvalue()


THEIRS = """
import sys
sys.path.insert(0, sys.argv[1])
from tiny_run import run
run(sys.argv[2], 2, 'CheckpointHook', sys.argv[3]).train()
"""


def test_checkpoints_written_here_are_resumed_by_a_plain_mmengine_and_here(tmp_path):
    run(tmp_path / 'ours', 1, OURS).train()
    written = tmp_path / 'ours/epoch_1.pth'
    assert find_corruption(written) is None and b'sha256=' in written.read_bytes()[-100:]
    expected = run(tmp_path / 'on', 2, OURS, written)
    expected.train()
    assert expected.iter == 4
    assert len(expected.message_hub.get_scalar('train/loss').data[0]) == 4  # two of them from the checkpoint
    said = plain(THEIRS, Path(__file__).parent, tmp_path / 'theirs', written)
    assert 'resumed epoch: 1, iter: 2' in said
    found = torch.load(tmp_path / 'theirs/epoch_2.pth', weights_only=False)
    assert torch.equal(found['state_dict']['weight'], expected.model.weight.data)
    assert found['message_hub']['runtime_info']['iter'] == expected.message_hub.get_info('iter')


def test_a_run_loads_safely_and_others_in_the_process_do_not_notice(asks_to_run, tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    before = CheckpointLoader.__dict__['load_checkpoint']
    with pytest.raises(ValueError, match='is not a checkpoint that loads safely'):
        run(tmp_path / 'run', 1, OURS, asks_to_run).train()
    assert CheckpointLoader.__dict__['load_checkpoint'] is before and not (tmp_path / 'ran').exists()


@pytest.mark.parametrize(('window', 'kept'), [(2, 3), (5, 5)])
def test_a_run_keeps_as_much_of_the_log_as_it_averages_over(window, kept, tmp_path, monkeypatch):
    monkeypatch.setattr('detco_mm.engine.hooks.safe_checkpoint.KEPT', 3)
    runner = run(tmp_path, 5, OURS, window=window)
    runner.train()
    assert len(runner.message_hub.get_scalar('train/loss').data[0]) == kept
