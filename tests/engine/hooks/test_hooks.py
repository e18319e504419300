"""What a run says of itself before the first step and after each epoch."""

import errno
import os
import signal
from ast import literal_eval

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from detco_mm.engine.errors import RunStopped
from detco_mm.engine.hooks import StopOnSignal, Watchdog
from detco_mm.engine.settings import apply_command_line
from tests.integration import forked
from tests.integration.small_run import CONFIG, NARROW, photographs


def train(tmp_path, images, **options):
    cfg = Config.fromfile(CONFIG)
    narrow = {name: literal_eval(value) for name, value in (text.split('=') for text in NARROW)}
    apply_command_line(cfg, {**narrow, 'data.root': str(images), 'train_cfg.max_epochs': 1, **options})
    cfg.work_dir = str(tmp_path / 'run')
    cfg.experiment_name = tmp_path.name  # MMEngine keeps a Runner's logger under its name
    Runner.from_cfg(cfg).train()
    return next((tmp_path / 'run').glob('*/*.log')).read_text()


def test_a_queue_longer_than_the_data_set_gets_a_warning_that_says_why(tmp_path):
    images = photographs(tmp_path / 'images', 12)
    assert 'queue of 13 keys over a data set of 12 images' in train(tmp_path, images, **{'model.queue_len': 13})


def test_a_run_without_cause_for_complaint_makes_none(tmp_path):
    log = train(tmp_path, photographs(tmp_path / 'images', 12))
    assert 'queue of' not in log and 'could not be decoded' not in log


def test_skipped_images_are_counted_and_named(tmp_path):
    images = photographs(tmp_path / 'images', 12)
    (images / '03.jpg').write_text('no image')
    log = train(tmp_path, images)
    assert '1 times up to now an image could not be decoded' in log
    assert str(images / '03.jpg') in log


def test_keys_of_accumulated_batches_must_fit_the_queue(tmp_path):
    with pytest.raises(ValueError, match='12'):
        train(tmp_path, photographs(tmp_path / 'images', 12), **{'optim_wrapper.accumulative_counts': 3})


@pytest.mark.parametrize(
    ('hook', 'arguments', 'words'),
    [
        (StopOnSignal, dict(interval=0), 'interval=0: it is a number of steps'),
        (Watchdog, dict(timeout=10, interval=5), 'timeout=10 and interval=5: seconds, the former at least three times'),
        (Watchdog, dict(interval=0), 'timeout=600 and interval=0'),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(hook, arguments, words):
    with pytest.raises(ValueError, match=words):
        hook(**arguments)


POOL = """
import multiprocessing, os, signal
from detco_mm.engine.hooks import StopOnSignal
class Loader:
    worker_init_fn = None
class Runner:
    train_dataloader, work_dir, world_size = Loader, '.', 1
StopOnSignal().before_train(Runner)
with multiprocessing.get_context('fork').Pool(2) as pool:  # as MMDetection's VOC metric has it
    # Of Python's own handlers a child that begins to wait at that moment would not hear.
    assert pool.map(signal.getsignal, [signal.SIGTERM, signal.SIGUSR1]) == [signal.SIG_DFL, signal.SIG_IGN]
"""


def test_a_pool_of_an_evaluation_can_be_ended(tmp_path):
    done = forked.run_code(POOL, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr


@HOOKS.register_module()
class AskToStop(Hook):
    """Ask the run to stop in its second step."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_full_disk_at_the_checkpoint_that_a_signal_asks_for_is_one_message(tmp_path, monkeypatch):
    images = photographs(tmp_path / 'images', 12)
    save = Runner.save_checkpoint

    def save_one(self, out_dir, filename, *args, **kwargs):
        if filename == 'iter_2.pth':
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), filename)
        save(self, out_dir, filename, *args, **kwargs)

    monkeypatch.setattr(Runner, 'save_checkpoint', save_one)
    at_first = {'default_hooks.checkpoint.by_epoch': False, 'default_hooks.checkpoint.interval': 1}
    at_first['default_hooks.checkpoint.if_not_written'] = 'go_on'
    with pytest.raises(RunStopped) as caught:
        train(tmp_path, images, **at_first, custom_hooks=[dict(type='AskToStop')])
    said = str(caught.value)
    assert said.startswith('SIGTERM: checkpoint iter_2.pth could not be written: ') and 'No space left' in said
    assert 'the last one is' in said and 'iter_1.pth. The run stops all the same' in said
    assert not (tmp_path / 'run/stopped_by_signal').exists()


def test_a_run_that_ends_with_an_error_gives_the_signals_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    images = photographs(tmp_path / 'images', 12)
    with pytest.raises(RunStopped):
        train(tmp_path, images, **{'optim_wrapper.optimizer.lr': 1e30})
    assert signal.getsignal(signal.SIGTERM) == before
