"""Batch shuffle and its inverse across ranks.

BN over the images of one GPU lets query and key recognise each other by their batch statistics. Shuffling the key
images among the GPUs breaks this (MoCo, section 3.3). Each rank receives the N images that it will encode, by
all-to-all, and not the W * N of all ranks.

The order is drawn on the CPU of each rank, from numbers that all ranks share, so that nobody waits for another rank or
for a device to know it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as torch_dist
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import MessageHub
from torch import Tensor


class Draws:
    """Orders that differ from step to step, the same on every rank, and the same again after a resumption.

    Seed and step are those that MMEngine's Runner tells its message hub. Where a step asks more than once, or nobody
    counts steps, the number of times counts, too.
    """

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None
        self._times = 0

    def permutation(self, num_images: int) -> np.ndarray:
        """Draw the order in which the images of all ranks are encoded.

        Args:
            num_images: W * N.

        Returns:
            (W * N,) int64: position -> image.
        """
        hub = MessageHub.get_current_instance()
        now = int(hub.get_info('seed', 0) or 0), int(hub.get_info('iter', 0) or 0)
        self._times = self._times + 1 if now == self._last else 0
        self._last = now
        return np.random.default_rng((*now, self._times)).permutation(num_images)


class _Route(NamedTuple):
    """What a rank sends and receives in one exchange."""

    outgoing: np.ndarray  # (N,) places of the rows to send, in the order of the ranks that want them
    arrange: np.ndarray  # (N,) for each place wanted, the row received that belongs there
    sent: list[int]  # rows to each rank
    received: list[int]  # rows from each rank


def _route(held: np.ndarray, wanted: np.ndarray) -> _Route:
    """Plan the exchange that brings images to the ranks that want them.

    Args:
        held: (W, N) for each rank, the global indices of the rows it holds, in its order.
        wanted: (W, N) for each rank, the global indices of the rows it wants, in its order.
    """
    world, count = held.shape
    rank = get_rank()
    where = np.argsort(held, axis=None)  # global index -> rank * N + place there
    place = where[wanted]
    holder = place // count
    # To each rank in turn, the rows it wants of mine, in the order in which it wants them.
    outgoing = [place[to][holder[to] == rank] % count for to in range(world)]
    arrival = np.argsort(holder[rank], kind='stable')  # rows arrive ordered by their holder
    received = np.bincount(holder[rank], minlength=world)
    return _Route(np.concatenate(outgoing), np.argsort(arrival), [len(rows) for rows in outgoing], received.tolist())


class Shuffle:
    """The order in which the images of all ranks are encoded in one step, and the way there and back.

    Args:
        permutation: (W * N,) int64, position -> image, the same on every rank.
        device: where the images are; the indices go there once, and nobody waits for them.
    """

    def __init__(self, permutation: np.ndarray, device: torch.device) -> None:
        self._world = get_world_size()
        order = permutation.reshape(self._world, -1)
        home = np.arange(len(permutation)).reshape(self._world, -1)
        self._routes = _route(home, order), _route(order, home)
        indices = torch.from_numpy(np.stack([way for route in self._routes for way in (route.outgoing, route.arrange)]))
        if device.type == 'cuda' and torch.cuda.is_available():
            indices = indices.pin_memory()  # from pageable memory a copy waits for all that was asked of the device
        self._indices = indices.to(device, non_blocking=indices.is_pinned()).unbind()

    def there(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Exchange images so that position p of the joined batch holds image ``permutation[p]``.

        Args:
            views: of this rank, each (N, ...) and of one type; all leave in one exchange. Every rank has the same N.

        Returns:
            Of each view, (N, ...), the images that this rank encodes.
        """
        outgoing, arrange, _, _ = self._indices
        parts = [view[outgoing] for view in views]
        if self._world == 1:
            return parts  # sent to itself in the order wanted
        rows = self._exchange(torch.cat([part.flatten(1) for part in parts], dim=1), self._routes[0])[arrange]
        widths = [part[0].numel() for part in parts]
        return [row.reshape(part.shape) for row, part in zip(rows.split(widths, dim=1), parts, strict=True)]

    def back(self, keys: Tensor) -> Tensor:
        """Bring each key back to the rank and place of its image: the inverse of :meth:`there`.

        Args:
            keys: (N, ...) of the images that this rank encoded.

        Returns:
            (N, ...) the keys of this rank's own images, in their order.
        """
        _, _, outgoing, arrange = self._indices
        rows = keys[outgoing].contiguous()
        return rows if self._world == 1 else self._exchange(rows, self._routes[1])[arrange]

    @staticmethod
    def _exchange(rows: Tensor, route: _Route) -> Tensor:
        received = torch.empty_like(rows)
        torch_dist.all_to_all_single(received, rows, output_split_sizes=route.received, input_split_sizes=route.sent)
        return received
