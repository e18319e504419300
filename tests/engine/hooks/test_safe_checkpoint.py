"""A checkpoint is whole before an old one goes, and a full disk takes none away."""

import os
import re

import pytest

from detco_mm.checkpoints.sealing import find_corruption
from detco_mm.engine.hooks import SafeCheckpoint
from tests.integration import forked
from tests.integration.small_run import CONFIG, ROOT, command, photographs
from tests.integration.test_resume import losses

KEEP_ONE = 'default_hooks.checkpoint.max_keep_ckpts=1'


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 16)


def train(images, work_dir, *options, config=CONFIG, resume=False, file_size=None):
    """Train with a limit on the size of files, in bytes: what writes more gets an error, as on a full disk."""
    flags = ['--work-dir', work_dir, *(['--resume'] if resume else [])]
    line = command('tools/train.py', config, *flags, options=[f'data.root={images}', *options])
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}
    return forked.run(line, env=environment, file_size=file_size)


GROWING = """
_base_ = {base!r}
custom_imports = dict(imports=['tests.engine.hooks.ballast'])
custom_hooks = [dict(type='Ballast', epoch=2)]
"""


@pytest.fixture
def growing(tmp_path):
    """A config whose checkpoints grow beyond 4 MB with the second epoch."""
    path = tmp_path / 'growing.py'
    path.write_text(GROWING.format(base=str(ROOT / CONFIG)))
    return path


def test_the_newest_are_kept_and_whole(images, tmp_path):
    done = train(images, tmp_path / 'run', KEEP_ONE)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [path.name for path in (tmp_path / 'run').glob('*.pth')] == ['epoch_3.pth']
    assert find_corruption(tmp_path / 'run/epoch_3.pth') is None
    assert (tmp_path / 'run/last_checkpoint').read_text().endswith('epoch_3.pth')


def test_a_full_disk_stops_the_run_with_one_message_and_the_last_checkpoint_is_whole(images, growing, tmp_path):
    work_dir = tmp_path / 'run'
    done = train(images, work_dir, KEEP_ONE, config=growing, file_size=4096 * 1024)
    assert done.returncode == 1
    said = re.findall('ERROR - .*', done.stdout + done.stderr)
    assert len(said) == 1 and 'checkpoint epoch_2.pth could not be written: ' in said[0]
    assert 'the last one is' in said[0] and 'epoch_1.pth' in said[0] and 'Traceback' not in done.stderr
    assert (
        sorted(path.name for path in work_dir.glob('*.pth')) == ['epoch_1.pth']
        and find_corruption(work_dir / 'epoch_1.pth') is None
    )
    assert (work_dir / 'last_checkpoint').read_text().endswith('epoch_1.pth')
    assert not list(work_dir.glob('.*.part'))
    # room again
    again = train(images, work_dir, resume=True)
    assert again.returncode == 0 and 'resumed epoch: 1' in again.stdout + again.stderr


def test_a_full_disk_can_be_passed_over(images, growing, tmp_path):
    work_dir = tmp_path / 'run'
    go_on = 'default_hooks.checkpoint.if_not_written=go_on'
    done = train(images, work_dir, KEEP_ONE, go_on, config=growing, file_size=4096 * 1024)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'the run goes on and tries again at the next interval' in done.stdout + done.stderr
    assert len(losses(work_dir)) == 12 and [path.name for path in work_dir.glob('*.pth')] == ['epoch_1.pth']


def test_what_a_killed_run_left_half_written_is_removed(images, tmp_path):
    (tmp_path / 'run').mkdir()
    left = tmp_path / 'run/.epoch_1.pth.abc.part'
    left.write_bytes(b'half')
    assert train(images, tmp_path / 'run', 'train_cfg.max_epochs=1').returncode == 0
    assert not left.exists()


def test_an_unknown_way_out_is_refused():
    with pytest.raises(ValueError, match="if_not_written='ignore': it is 'stop' or 'go_on'"):
        SafeCheckpoint(if_not_written='ignore')
