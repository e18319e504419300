"""A run that is killed or stopped, and resumed, ends as one that was left alone: bit for bit, augmentation and all."""

import json
import random
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.devices import needs_two_gpus_if_any
from tests.integration.small_run import CONFIG, command, kill_all, photographs, rank_of, start, started_by

STEPS = 36  # 48 images in batches of 4, three epochs


def losses(work_dir):
    """Step -> losses and learning rate, from all logs of a work dir; a later log wins."""
    rows = {}
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            rows[row['step']] = {k: v for k, v in row.items() if k.startswith(('loss', 'lr'))}
    return rows


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 48)


def train(images, work_dir, *flags, options=(), **environment):
    """Start training; two groups of images a step, so that there is something to shuffle."""
    options = [f'data.root={images}', 'model.bn_splits=2', *options]
    number = len(list(work_dir.parent.glob(f'{work_dir.name}-*.log')))
    log = work_dir.parent / f'{work_dir.name}-{number}.log'
    return start(command('tools/train.py', CONFIG, '--work-dir', work_dir, *flags, options=options), log, **environment)


def output(work_dir):
    """What the latest start wrote."""
    return max(work_dir.parent.glob(f'{work_dir.name}-*.log'), key=lambda path: path.stat().st_mtime).read_text()


@pytest.fixture(scope='module')
def whole(images, tmp_path_factory):
    """The work dir of a run that was left alone."""
    folder = tmp_path_factory.mktemp('whole') / 'run'
    assert train(images, folder).wait(180) == 0, output(folder)
    assert len(losses(folder)) == STEPS
    return folder


def wait_for(run, work_dir, steps):
    """Wait until a run has logged so many steps, or has ended."""
    while run.poll() is None and len(losses(work_dir)) < steps:
        time.sleep(0.02)


def assert_same_run(one, other):
    assert losses(one) == losses(other)
    ends = [torch.load(folder / 'epoch_3.pth', weights_only=True)['state_dict'] for folder in (one, other)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.gpu
def test_killed_in_an_epoch_and_resumed_with_other_workers(images, whole, tmp_path):
    cut = tmp_path / 'cut'
    every_five = ['default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=5']
    run = train(images, cut, options=every_five)
    wait_for(run, cut, 18)
    run.kill()
    run.wait()
    assert 18 <= len(losses(cut)) < STEPS
    # checkpoints at the end of epochs again, as in the run to compare with
    workers = ['train_dataloader.num_workers=2']
    assert train(images, cut, '--resume', options=workers).wait(180) == 0, output(cut)
    assert int(re.search(r'resumed epoch: 1, iter: (\d+)', output(cut))[1]) in (15, 20)
    assert_same_run(cut, whole)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
def test_asked_to_stop_it_leaves_a_checkpoint_and_goes_on_from_there(number, images, whole, tmp_path):
    cut = tmp_path / 'cut'
    run = train(images, cut)
    wait_for(run, cut, 6)
    run.send_signal(number)
    assert run.wait(30) == 0, output(cut)
    (made,) = cut.glob('*.pth')
    step = int(made.stem.removeprefix('iter_'))
    assert 6 <= step == max(losses(cut)) < 12
    assert f'{number.name}: stopped after step {step}' in output(cut)
    assert (cut / 'stopped_by_signal').read_text() == f'{number.name} iter_{step}.pth\n'
    moved = cut.rename(tmp_path / 'moved')  # a work dir is not bound to its place
    assert train(images, moved, '--resume').wait(180) == 0, output(moved)
    assert not (moved / 'stopped_by_signal').exists() and not (moved / made.name).exists()
    assert_same_run(moved, whole)


def test_a_signal_to_all_processes_leaves_the_data_workers_to_the_step_under_way(images, whole, tmp_path):
    cut = tmp_path / 'cut'
    run = train(images, cut, options=['train_dataloader.num_workers=2'])
    wait_for(run, cut, 6)
    everybody = [*started_by(run), run]
    assert len(everybody) >= 3
    for process in everybody:
        process.send_signal(signal.SIGTERM)
    assert run.wait(30) == 0, output(cut)
    assert 'SIGTERM: stopped after step' in output(cut) and not any(p.is_running() for p in everybody[:-1])
    assert train(images, cut, '--resume').wait(180) == 0, output(cut)
    assert_same_run(cut, whole)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(images, whole, tmp_path):
    cut = tmp_path / 'cut'
    run = train(images, cut)
    wait_for(run, cut, 26)
    run.kill()
    run.wait()
    content = bytearray((cut / 'epoch_2.pth').read_bytes())
    content[len(content) // 2] ^= 1  # one bit
    (cut / 'epoch_2.pth').write_bytes(content)
    assert train(images, cut, '--resume').wait(180) == 0, output(cut)
    assert 'epoch_2.pth is damaged and not used' in output(cut) and 'resumed epoch: 1' in output(cut)
    assert_same_run(cut, whole)


def two_ranks(images, work_dir, *flags, **environment):
    options = [f'data.root={images}', 'train_cfg.max_epochs=4']  # many steps, so that a signal meets one of them
    line = command('tools/dist_train.sh', CONFIG, 2, '--work-dir', work_dir, *flags, options=options)
    number = len(list(work_dir.parent.glob(f'{work_dir.name}-*.log')))
    return start(line, work_dir.parent / f'{work_dir.name}-{number}.log', **environment)


@pytest.fixture(scope='module')
def whole_of_two(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp('two') / 'run'
    assert two_ranks(images, folder).wait(240) == 0, output(folder)
    assert len(losses(folder)) == 24  # 48 images on two ranks in batches of 4, four epochs
    return folder


@pytest.mark.gpu
@needs_two_gpus_if_any
def test_two_ranks_that_are_killed_go_on_exactly(images, whole_of_two, tmp_path):
    cut = tmp_path / 'cut'
    run = two_ranks(images, cut)
    wait_for(run, cut, 2)
    started = started_by(run)  # now, for the steps left are soon over
    wait_for(run, cut, 8)
    kill_all(run, started)
    assert two_ranks(images, cut, '--resume').wait(240) == 0, output(cut)
    assert re.search(r'resumed epoch: [123], iter: (6|12|18)\b', output(cut)), output(cut)
    assert losses(cut) == losses(whole_of_two)


def test_two_ranks_are_asked_to_stop_through_the_script_that_started_them(images, whole_of_two, tmp_path):
    cut = tmp_path / 'cut'
    run = two_ranks(images, cut, PYTHON=sys.executable)
    wait_for(run, cut, 2)
    run.send_signal(signal.SIGTERM)
    assert run.wait(60) == 0, output(cut)
    # the ranks agree at every fifth step
    assert re.fullmatch(r'SIGUSR1 iter_(5|10|15|20)\.pth\n', (cut / 'stopped_by_signal').read_text()), output(cut)
    assert two_ranks(images, cut, '--resume').wait(240) == 0, output(cut)
    assert losses(cut) == losses(whole_of_two)


def test_a_rank_that_is_killed_is_named_and_all_start_again_from_the_last_checkpoint(images, whole_of_two, tmp_path):
    cut = tmp_path / 'cut'
    run = two_ranks(images, cut, MAX_RESTARTS='1')
    wait_for(run, cut, 2)
    rank = rank_of(run, 1)  # now, as above
    wait_for(run, cut, 8)
    rank.kill()
    assert run.wait(240) == 0, output(cut)
    assert 'failed (exitcode: -9) local_rank: 1' in output(cut)
    assert re.search(r'resumed epoch: [123], iter: (6|12|18)\b', output(cut)), output(cut)
    assert losses(cut) == losses(whole_of_two)


@pytest.mark.parametrize('kills', [6, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_kills_at_random_moments(kills, images, whole, tmp_path):
    """Every other start is killed while it writes a checkpoint; no more than the step under way is ever lost."""
    cut, moments = tmp_path / 'cut', random.Random(0)
    every_step = ['default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=1']
    reached = parts = 0
    for kill in range(kills):
        run = train(images, cut, '--resume', options=every_step)
        wait_for(run, cut, len(losses(cut)) + 1)
        if kill % 2:  # while the next checkpoint is being written
            while run.poll() is None and not list(cut.glob('.*.part')):
                pass
        else:
            time.sleep(moments.uniform(0, 0.15))
        run.kill()
        run.wait()
        parts += bool(list(cut.glob('.*.part')))
        # the last step that was logged may not have reached the disk, the one before it must have
        resumed = re.search(r'resumed epoch: \d+, iter: (\d+)', output(cut))
        assert resumed is None or int(resumed[1]) >= reached - 1, output(cut)
        reached = max(losses(cut), default=0)
    assert parts > 2 or kills < 20, 'kills that met a checkpoint half written'
    assert train(images, cut, '--resume').wait(180) == 0, output(cut)
    assert_same_run(cut, whole)
