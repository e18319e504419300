"""Watchdog: a run whose ranks wait for one that will not come ends, and says for which."""

import os
import socket
import sys
import threading
import time
from datetime import timedelta

import torch.distributed as torch_dist
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.distributed import TCPStore
from torch.distributed.constants import default_pg_nccl_timeout, default_pg_timeout

from detco_mm.registry import HOOKS

#: Exit code of a rank that gave up: the system's "temporary failure, try again" (sysexits.h).
EXIT_CODE = 75
#: Seconds by which the backend's own limit has to be longer: the watchdog looks every `interval`, at signs of life as
#: old, and the host may have enqueued a collective some steps before it waits for it.
MARGIN = 60


@HOOKS.register_module()
class Watchdog(Hook):
    """End this rank, with a message that names the culprits, when a rank is gone or hangs.

    Without it a collective waits for half an hour (gloo, PyTorch's default) or for ever, and its error names no rank.
    A thread of each rank writes into a store on rank 0 that it lives, and how far training has come. A rank that is
    silent for ``timeout`` is stopped or gone; where all answer and no rank comes any further, those that are furthest
    behind hold the others up. ``MAX_RESTARTS`` of ``tools/dist_train.sh`` then starts the ranks again from the last
    checkpoint. One process alone has nobody to wait for, and is not watched.

    Args:
        timeout: seconds without a sign of life, or without progress: more than the slowest step, evaluation or
            checkpoint takes.
        interval: seconds between two signs of life.
        first_step: seconds that the first step may take instead, where that is more than `timeout`: it is then that
            `torch.compile`, cuDNN and the data workers start.

    The backend has a limit of its own for each collective, after which it ends a rank and names nobody: PyTorch's
    default is 600 s for NCCL, from the enqueue, and 1800 s for gloo. ``env_cfg.dist_cfg.timeout`` sets it, and has to
    leave the watchdog :data:`MARGIN` to speak first.

    Raises:
        ValueError: if ``interval`` is not above 0, or ``timeout`` not three times as long at least; from
            ``before_train``, if the backend would end the run before the watchdog does.
    """

    priority = 'HIGHEST'  # its note that a batch has come is not to wait for what other hooks do with it

    def __init__(self, timeout: float = 600, interval: float = 5, first_step: float = 1800) -> None:
        if not 0 < 3 * interval <= timeout:
            raise ValueError(
                f'timeout={timeout} and interval={interval}: seconds, the former at least three times the latter'
            )
        self.timeout = timeout
        self.interval = interval
        self.first_step = max(first_step, timeout)
        self._begun = 2  # the progress of a rank that has taken its first step
        self._progress = (0, 'starting')
        self._answers: list[list[str]] = []  # for each rank: signs of life, progress, where that is, host
        self._asked = 0.0
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def before_train(self, runner: Runner) -> None:
        """Start watching."""
        if get_world_size() == 1:
            return
        self._check_backend(runner)
        self._begun = 2 * runner.iter + 2
        store = self._connect()
        self._ended.clear()
        self._ask(store)
        self._threads = [
            threading.Thread(target=self._report, args=(store,), daemon=True, name='watchdog-report'),
            threading.Thread(target=self._judge, args=(runner,), daemon=True, name='watchdog-judge'),
        ]
        for thread in self._threads:
            thread.start()

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Note that a batch has come."""
        self._progress = (2 * runner.iter + 1, f'in step {runner.iter + 1}')

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Note that a step is done."""
        self._progress = (2 * runner.iter + 2, f'after step {runner.iter + 1}, before the next batch')

    def after_train(self, runner: Runner) -> None:
        """Watch no more, once all ranks are here."""
        if self._threads:
            self._ended.set()
            for thread in self._threads:
                thread.join()
            torch_dist.barrier()  # rank 0, which keeps the store, does not leave before the others have asked it last

    def _check_backend(self, runner: Runner) -> None:
        nccl = 'nccl' in torch_dist.get_backend()
        default = default_pg_nccl_timeout if nccl and default_pg_nccl_timeout else default_pg_timeout
        given = runner.cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout', default.total_seconds())
        if given < self.first_step + MARGIN:
            raise ValueError(
                f'env_cfg.dist_cfg.timeout={given:g}: the backend would end the run, and name no rank, before the '
                f'watchdog does: set it to {self.first_step + MARGIN:g} or more, {MARGIN} s above the larger of '
                f'default_hooks.watchdog.first_step and timeout ({self.first_step:g} s), or lower those'
            )

    def _connect(self) -> TCPStore:
        """Open a store on rank 0; this one, other than the process group's, may be asked from a thread."""
        patience = timedelta(seconds=self.timeout)
        world, address = get_world_size(), os.environ.get('MASTER_ADDR', '127.0.0.1')

        def open_store(port: int) -> TCPStore:
            return TCPStore(address, port, world, is_master=get_rank() == 0, timeout=patience, wait_for_workers=False)

        store = open_store(0) if get_rank() == 0 else None  # 0: any that is free
        port = [store.port if store else 0]
        broadcast_object_list(port)
        store = store or open_store(port[0])
        store.set(str(get_rank()), f'0|0|starting|{socket.gethostname()}')
        torch_dist.barrier()  # all have written before one reads
        return store

    def _report(self, store: TCPStore) -> None:
        """Leave signs of life and collect those of all ranks, in a thread of its own: it waits if rank 0 is stopped."""
        host, beat = socket.gethostname(), 0
        while not self._ended.wait(self.interval):
            beat += 1
            progress, where = self._progress
            try:
                store.set(str(get_rank()), f'{beat}|{progress}|{where}|{host}')
                self._ask(store)
            except RuntimeError:
                return  # rank 0 is gone, and its store with it

    def _ask(self, store: TCPStore) -> None:
        answers = store.multi_get([str(rank) for rank in range(get_world_size())])
        self._answers = [answer.decode().split('|') for answer in answers]
        self._asked = time.monotonic()

    def _judge(self, runner: Runner) -> None:
        """Look at what :meth:`_report` has collected, and end this rank where it tells of a failure."""
        seen: list[list[str]] = self._answers
        moved = time.monotonic()
        alive = [moved] * get_world_size()
        while not self._ended.wait(self.interval):
            now, patience = time.monotonic(), self.timeout
            answers = self._answers
            progress = [int(answer[1]) for answer in answers]
            alive = [now if new != old else last for new, old, last in zip(answers, seen, alive, strict=True)]
            if progress != [int(answer[1]) for answer in seen]:
                moved = now
            seen = answers
            if now - self._asked > self.timeout:
                ranks, what = [0], 'keeps the signs of life and has not answered'
            elif min(alive) < now - self.timeout:
                ranks = [rank for rank, last in enumerate(alive) if last < now - self.timeout]
                what = 'has given no sign of life'
            elif now - moved > (patience := self.timeout if min(progress) >= self._begun else self.first_step):
                ranks = [rank for rank, steps in enumerate(progress) if steps == min(progress)]
                what = 'has come no further'
            else:
                continue
            named = '; '.join(f'rank {rank} on {answers[rank][3]} ({answers[rank][2]})' for rank in ranks)
            self._give_up(runner, f'{named} {what} for {patience:g} s')

    def _give_up(self, runner: Runner, reason: str) -> None:
        message = (
            f'watchdog of rank {get_rank()}: {reason}. This rank ends; --resume goes on from the last checkpoint. If '
            "nothing was wrong but slow, raise the hook's timeout"
        )
        runner.logger.error(message)
        print(message, file=sys.stderr, flush=True)  # for a rank whose logger writes to no stream
        os._exit(EXIT_CODE)  # the main thread waits in a collective and cannot be asked
