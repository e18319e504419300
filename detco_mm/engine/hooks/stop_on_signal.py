"""StopOnSignal: a run that is asked to go leaves a checkpoint behind."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import tensor

from detco_mm.checkpoints.backend import SEALED
from detco_mm.checkpoints.files import write_atomically
from detco_mm.engine.errors import RunStopped
from detco_mm.engine.hooks.safe_checkpoint import not_written
from detco_mm.engine.ranks import heed_first_rank
from detco_mm.registry import HOOKS

#: In the work dir of a run that was stopped by a signal, until it is resumed: the signal and the checkpoint.
MARKER = 'stopped_by_signal'
#: The signals that ask a run to stop, of those that the system has: Windows has no SIGUSR1.
SIGNALS = tuple(getattr(signal, name) for name in ('SIGTERM', 'SIGUSR1') if hasattr(signal, name))
#: Whether a data worker can be shielded from everybody but its parent: macOS has no sigwaitinfo, Windows neither.
_CAN_SHIELD = hasattr(signal, 'pthread_sigmask') and hasattr(signal, 'sigwaitinfo')


@HOOKS.register_module()
class StopOnSignal(Hook):
    """After SIGTERM or SIGUSR1, finish the step on every rank, write ``iter_N.pth`` and end with exit code 0.

    Slurm sends the former when a job is cancelled or pre-empted and, with ``--signal=USR1@120``, the latter 120 s
    before its time is up. One rank that gets a signal is enough. A signal often goes to all processes of a job: data
    workers live on until the step is done, and other children do not hear SIGUSR1. Not promised on macOS and Windows,
    where data workers end at once: there a signal to all processes of a job may stop it without a checkpoint.

    Where the checkpoint cannot be written, as on a full disk, the run stops all the same, with a message.

    Args:
        interval: steps from one time that the ranks agree to the next, which costs a small all-reduce. A single process
            looks after each step.

    Raises:
        ValueError: if ``interval`` is below 1.
        RunStopped: from training, on every rank, if the checkpoint could not be written.
    """

    priority = 'LOWEST'  # the schedules have gone on by then

    def __init__(self, interval: int = 5) -> None:
        if interval < 1:
            raise ValueError(f'interval={interval}: it is a number of steps, at least 1')
        self.interval = interval
        self._received = 0
        self._previous: dict[int, Any] = {}

    def before_train(self, runner: Runner) -> None:
        """Listen, and shield the data workers that will be started."""
        loader = runner.train_dataloader
        if _CAN_SHIELD:
            loader.worker_init_fn = partial(_shielded, loader.worker_init_fn)
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._note)
        if is_main_process():
            Path(runner.work_dir, MARKER).unlink(missing_ok=True)

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stop if any rank was asked to."""
        received = tensor(self._received)
        if runner.world_size > 1:
            if not self.every_n_train_iters(runner, self.interval):
                return
            all_reduce(received, 'max')
        # not between the micro-batches of one optimizer step, whose gradients and keys no checkpoint holds
        if not received or not runner.optim_wrapper.should_update():
            return
        step = runner.iter + 1
        name = f'iter_{step}.pth'
        meta = dict(epoch=runner.epoch, iter=step)
        # SafeCheckpoint removes it after the next one; the marker is for whoever starts the run again.
        runner.message_hub.update_info('left_by_signal', name)
        asked = signal.Signals(int(received)).name

        def write() -> None:
            runner.save_checkpoint(runner.work_dir, name, meta=meta, by_epoch=False, backend_args=SEALED)
            if is_main_process():
                write_atomically(Path(runner.work_dir, MARKER), f'{asked} {name}\n')

        try:
            heed_first_rank(write)  # which alone writes
        except OSError as error:
            raise RunStopped(
                f'{asked}: {not_written(name, error, runner.message_hub.get_info("last_ckpt"))}. The run stops all the '
                'same, as it was asked to; make room and go on with --resume'
            ) from error
        runner.logger.warning(
            f'{asked}: stopped after step {step}, which is in '
            f'{os.path.join(runner.work_dir, name)}; --resume goes on from there'
        )
        runner.train_loop.stop_training = True

    def after_train(self, runner: Runner) -> None:
        """Listen no more."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = number


def _forget() -> None:
    """Let a child of another kind, such as a worker of an evaluation's pool, be ended.

    Python's own handlers would not do: a signal that comes just before a child begins to wait is seen after its wait.
    """
    for number in SIGNALS:
        handler = signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN
        if getattr(signal.getsignal(number), '__func__', None) is StopOnSignal._note:
            signal.signal(number, handler)


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_forget)


def _shielded(initialise: Callable[[int], None] | None, worker: int) -> None:
    """Start a data worker that ends when its parent tells it to, and for no other signal.

    PyTorch lets SIGTERM of anybody else kill it, and stops the run for that at once, wherever its step is.
    """
    if initialise is not None:
        initialise(worker)
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
