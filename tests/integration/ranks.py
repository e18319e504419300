"""Run a function on several ranks, each a process of its own: on gloo, or on NCCL where each has a GPU."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist

from tests.integration.forked import Forked


def run_rank(rank: str, world: str, folder: str) -> None:
    """What each rank does: call the function that `folder` holds, and leave there what it returns."""
    here, backend = torch.device('cpu'), 'gloo'
    if int(world) <= torch.cuda.device_count():
        here, backend = torch.device('cuda', int(rank)), 'nccl'
        torch.cuda.set_device(here)
        torch.set_default_device(here)
    ranks = dict(rank=int(rank), world_size=int(world))
    torch_dist.init_process_group(backend, init_method=f'file://{folder}/store', **ranks)
    try:
        function, arguments = torch.load(f'{folder}/call', weights_only=False, map_location=here)
        torch.save(function(int(rank), *arguments), f'{folder}/{rank}.pt')
    finally:
        torch_dist.destroy_process_group()


def on_ranks(function: Callable, world: int, *arguments: Any) -> list[Any]:
    """Call ``function(rank, *arguments)`` on each of `world` ranks; return what each returned, on the CPU.

    The default device of a rank is its GPU where there is one for each.

    Raises:
        RuntimeError: with the traceback of the first rank that failed; the others, which may wait for it, are killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        torch.save((function, arguments), f'{folder}/call')
        ranks = []
        for rank in range(world):
            with open(f'{folder}/{rank}.log', 'w') as log:
                line = ['rank', rank, world, folder]
                ranks.append(Forked(line, log, log, function='tests.integration.ranks:run_rank'))
        try:
            while any(process.poll() is None for process in ranks) and not any(process.poll() for process in ranks):
                time.sleep(0.02)
        finally:
            for process in ranks:
                process.kill()
        for rank, process in enumerate(ranks):
            if process.wait() > 0:
                raise RuntimeError(f'rank {rank}: {Path(folder, f"{rank}.log").read_text()}')
        assert not any(process.returncode for process in ranks), [process.returncode for process in ranks]
        return [torch.load(f'{folder}/{rank}.pt', weights_only=False, map_location='cpu') for rank in range(world)]
