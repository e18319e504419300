"""Batch shuffle and its inverse across ranks.

BN over the images of one GPU lets query and key recognise each other by their batch statistics. Shuffling the key
images among the GPUs breaks this (MoCo, section 3.3). Each rank receives the N images that it will encode, by
all-to-all, and not the W * N of all ranks.
"""

import torch
import torch.distributed as torch_dist
from mmengine.dist import broadcast, get_rank, get_world_size
from torch import Tensor


def draw_permutation(num_images: int, device: torch.device) -> Tensor:
    """Draw the order in which the images of all ranks are encoded.

    Args:
        num_images: W * N.
        device: where the ranks' collectives run.

    Returns:
        (W * N,) int64, the same on every rank: position -> image. Drawn by rank 0.
    """
    permutation = torch.randperm(num_images, device=device)
    broadcast(permutation)
    return permutation


def _exchange(rows: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
    """Bring `rows` to the ranks that want them.

    Args:
        rows: (N, ...) what this rank holds.
        source: (W, N) for each rank, the global indices of the rows it holds, in its order.
        wanted: (W, N) for each rank, the global indices of the rows it wants, in its order.

    Returns:
        (N, ...) the rows ``wanted[rank]``.
    """
    world, count = source.shape
    rank = get_rank()
    where = torch.empty(world * count, dtype=torch.long)
    where[source.flatten()] = torch.arange(world * count)  # global index -> rank * N + place there
    if world == 1:
        return rows[where[wanted[0]].to(rows.device)]
    place = where[wanted]  # (W, N)
    holder = place // count
    # To each rank in turn, the rows it wants of mine, in the order in which it wants them.
    outgoing = [place[to][holder[to] == rank] % count for to in range(world)]
    mine = holder[rank]
    arrival = torch.argsort(mine, stable=True)  # rows arrive ordered by their holder
    sent = rows[torch.cat(outgoing).to(rows.device)].contiguous()
    received = torch.empty_like(sent)  # not like rows, whose strides may be those of a transposed tensor
    torch_dist.all_to_all_single(
        received,
        sent,
        output_split_sizes=torch.bincount(mine, minlength=world).tolist(),
        input_split_sizes=[len(indices) for indices in outgoing],
    )
    return received[torch.argsort(arrival).to(rows.device)]


def shuffle(images: Tensor, permutation: Tensor) -> Tensor:
    """Exchange images so that position p of the joined batch holds image ``permutation[p]``.

    Args:
        images: (N, ...) of this rank; every rank has the same N.
        permutation: (W * N,) of :func:`draw_permutation`.

    Returns:
        (N, ...) the images that this rank encodes.
    """
    world = get_world_size()
    held = torch.arange(len(permutation)).view(world, -1)
    return _exchange(images, held, permutation.cpu().view(world, -1))


def unshuffle(keys: Tensor, permutation: Tensor) -> Tensor:
    """Bring each key back to the rank and place of its image: the inverse of :func:`shuffle`.

    Args:
        keys: (N, ...) of the images that this rank encoded.
        permutation: the one that the images were shuffled with.

    Returns:
        (N, ...) the keys of this rank's own images, in their order.
    """
    world = get_world_size()
    held = permutation.cpu().view(world, -1)
    return _exchange(keys, held, torch.arange(len(permutation)).view(world, -1))
