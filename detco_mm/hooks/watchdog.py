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

from detco_mm.registry import HOOKS

#: Exit code of a rank that gave up: the system's "temporary failure, try again" (sysexits.h).
EXIT_CODE = 75


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
            checkpoint takes. 600 is PyTorch's own for NCCL.
        interval: seconds between two signs of life.

    Raises:
        ValueError: if ``interval`` is not above 0, or ``timeout`` not three times as long at least.
    """

    priority = 'HIGHEST'  # its note that a batch has come is not to wait for what other hooks do with it

    def __init__(self, timeout: float = 600, interval: float = 5) -> None:
        if not 0 < 3 * interval <= timeout:
            raise ValueError(
                f'timeout={timeout} and interval={interval}: seconds, the former at least three times the latter'
            )
        self.timeout = timeout
        self.interval = interval
        self._progress = (0, 'starting')
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def before_train(self, runner: Runner) -> None:
        """Start watching."""
        if get_world_size() == 1:
            return
        store = self._connect()
        self._ended.clear()
        self._thread = threading.Thread(target=self._watch, args=(store, runner), daemon=True, name='watchdog')
        self._thread.start()

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Note that a batch has come."""
        self._progress = (2 * runner.iter + 1, f'in step {runner.iter + 1}')

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Note that a step is done."""
        self._progress = (2 * runner.iter + 2, f'after step {runner.iter + 1}, before the next batch')

    def after_train(self, runner: Runner) -> None:
        """Watch no more, once all ranks are here."""
        if self._thread is not None:
            torch_dist.barrier()  # rank 0, which keeps the store, does not leave before the others
            self._ended.set()
            self._thread.join()

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
        torch_dist.barrier()
        return store

    def _watch(self, store: TCPStore, runner: Runner) -> None:
        rank, world, host = get_rank(), get_world_size(), socket.gethostname()
        names = [str(other) for other in range(world)]
        moved = time.monotonic()
        seen: dict[str, str] = {}
        alive = dict.fromkeys(names, moved)
        furthest = 0
        beat = 0
        while not self._ended.wait(self.interval):
            beat += 1
            progress, where = self._progress
            try:
                store.set(str(rank), f'{beat}|{progress}|{where}|{host}')
                said = dict(zip(names, (value.decode() for value in store.multi_get(names)), strict=True))
            except RuntimeError as error:  # rank 0 is gone or stopped, and its store with it
                reason = f'rank 0, where the ranks leave their signs of life, does not answer ({error})'
                self._give_up(runner, reason.partition('\n')[0])
                return
            now = time.monotonic()
            alive.update({name: now for name in names if said[name] != seen.get(name)})
            seen = said
            notes = {name: value.split('|') for name, value in said.items()}
            if (total := sum(int(note[1]) for note in notes.values())) > furthest:
                furthest, moved = total, now
            if silent := [name for name in names if now - alive[name] > self.timeout]:
                what = 'has given no sign of life'
            elif now - moved > self.timeout:
                least = min(int(note[1]) for note in notes.values())
                silent, what = [name for name in names if int(notes[name][1]) == least], 'has come no further'
            else:
                continue
            named = '; '.join(f'rank {name} on {notes[name][3]} ({notes[name][2]})' for name in silent)
            self._give_up(runner, f'{named} {what} for {self.timeout:g} s')

    def _give_up(self, runner: Runner, reason: str) -> None:
        if self._ended.is_set():
            return
        message = (
            f'watchdog of rank {get_rank()}: {reason}. This rank ends; --resume goes on from the last checkpoint. If '
            "nothing was wrong but slow, raise the hook's timeout"
        )
        runner.logger.error(message)
        print(message, file=sys.stderr, flush=True)  # for a rank whose logger writes to no stream
        os._exit(EXIT_CODE)  # the main thread waits in a collective and cannot be asked
