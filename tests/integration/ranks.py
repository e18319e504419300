"""Run a function on several gloo ranks, each a process of its own."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
import torch.multiprocessing as mp


def _start(rank: int, function: Callable, world: int, folder: str, arguments: tuple) -> None:
    torch.set_num_threads(1)
    torch_dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world)
    try:
        torch.save(function(rank, *arguments), f'{folder}/{rank}.pt')
    finally:
        torch_dist.destroy_process_group()


def on_ranks(function: Callable, world: int, *arguments: Any) -> list[Any]:
    """Call ``function(rank, *arguments)`` on each of `world` ranks; return what each returned."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_start, args=(function, world, folder, arguments), nprocs=world)
        return [torch.load(Path(folder) / f'{rank}.pt', weights_only=False) for rank in range(world)]
