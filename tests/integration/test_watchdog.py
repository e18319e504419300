"""A rank that hangs ends the run with a message that names it, within the time that was set."""

import os
import re
import signal
import socket
import time

import pytest

from tests.devices import needs_two_gpus_if_any
from tests.integration.small_run import CONFIG, command, kill_all, photographs, rank_of, start
from tests.integration.test_resume import losses, output, wait_for

SECONDS = 8
PATIENCE = [f'default_hooks.watchdog.timeout={SECONDS}', 'default_hooks.watchdog.interval=0.5']


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 64)


def train(images, work_dir, *options, **environment):
    line = command(
        'tools/dist_train.sh',
        CONFIG,
        2,
        '--work-dir',
        work_dir,
        options=[f'data.root={images}', 'train_cfg.max_epochs=100', *PATIENCE, *options],
    )
    return start(line, work_dir.parent / f'{work_dir.name}-0.log', **environment)


def wait_for_message(run, work_dir, text):
    """Wait until a rank says so, and end what is left of the run."""
    for _ in range(600):
        if text in output(work_dir):
            break
        time.sleep(0.1)
    survivor_ended = 'watchdog of rank' in output(work_dir)
    kill_all(run)
    assert survivor_ended and text in output(work_dir), output(work_dir)[-3000:]


@pytest.mark.gpu
@needs_two_gpus_if_any
@pytest.mark.parametrize('stopped', [0, 1])
def test_a_rank_that_is_stopped_is_named(stopped, images, tmp_path):
    folder = tmp_path / 'run'
    run = train(images, folder)
    wait_for(run, folder, 3)
    rank_of(run, stopped).send_signal(signal.SIGSTOP)
    wait_for_message(run, folder, f'watchdog of rank {1 - stopped}: rank {stopped} on {socket.gethostname()}')


@pytest.mark.exhaustive  # torchrun waits 30 s for the rank that is stopped
def test_ranks_that_one_has_left_alone_start_again_from_the_last_checkpoint(images, tmp_path):
    folder = tmp_path / 'run'
    run = train(images, folder, 'train_cfg.max_epochs=6', MAX_RESTARTS='1')
    wait_for(run, folder, 10)
    rank_of(run, 1).send_signal(signal.SIGSTOP)
    assert run.wait(240) == 0, output(folder)[-3000:]
    assert 'watchdog of rank 0: rank 1 on ' in output(folder) and 'exitcode: 75' in output(folder)
    assert re.search(r'resumed epoch: [1-5], iter: \d+', output(folder)) and len(losses(folder)) == 48


def test_a_rank_that_waits_for_a_file_for_ever_is_named(images, tmp_path):
    folder = tmp_path / 'run'
    os.mkfifo(images / 'pipe.jpg')  # nobody writes into it
    names = sorted(path.name for path in images.iterdir())
    (tmp_path / 'list.txt').write_text('\n'.join(names))
    run = train(images, folder, f'data.ann_file={tmp_path}/list.txt')
    wait_for_message(run, folder, 'before the next batch) has come no further for 8 s')


def test_a_run_that_is_watched_ends_in_peace(images, tmp_path):
    folder = tmp_path / 'run'
    run = train(images, folder, 'train_cfg.max_epochs=1', 'default_hooks.watchdog.timeout=60')
    assert run.wait(120) == 0, output(folder)
    assert len(losses(folder)) == 8 and 'watchdog of rank' not in output(folder)
