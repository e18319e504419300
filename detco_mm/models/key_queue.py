"""KeyQueue: ring buffers of keys, the same on every rank."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """G ring buffers of K keys that share one pointer.

    All are filled in step, one row for each (scope, stage), so one pointer serves. Both buffers are part of the
    checkpoint, and a resumed run goes on where it was.

    Args:
        num_rows: G, the number of queues.
        length: K, the number of keys in each.
        dim: D, the dimensions of a key.

    Raises:
        ValueError: if an argument is below 1.

    Source: MoCo, section 3.2; the queue starts as random unit vectors, as in MoCo's code.
    """

    keys: Tensor  # (G, K, D)
    pointer: Tensor  # (), where the next key goes

    def __init__(self, num_rows: int, length: int, dim: int) -> None:
        super().__init__()
        for name, value in (('num_rows', num_rows), ('queue_len', length), ('dim', dim)):
            if value < 1:
                raise ValueError(f'a key queue with {name}={value}: it must be at least 1')
        self.register_buffer('keys', F.normalize(torch.randn(num_rows, length, dim), dim=2))
        self.register_buffer('pointer', torch.zeros((), dtype=torch.long))

    @property
    def length(self) -> int:
        """K, the number of keys in each row."""
        return self.keys.shape[1]

    def check_batch(self, num_keys: int) -> None:
        """Refuse a batch that would overwrite itself.

        Args:
            num_keys: W * N, the keys that one step brings from all ranks.

        Raises:
            ValueError: if W * N > K.
        """
        if num_keys > self.length:
            raise ValueError(
                f'batch of {num_keys} keys does not fit a queue of {self.length}: '
                'raise model.queue_len or lower train_dataloader.batch_size'
            )

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys by the newest, in the order of the ranks.

        A key that is not finite never enters: the old key of its slot stays.

        Args:
            keys: (G, N, D) unit vectors of this rank, one row of queues each.

        Raises:
            ValueError: if W * N > K, where a batch would overwrite itself.

        Source: MoCo, section 3.2; unlike MoCo's code, K need not be a multiple of the batch.
        """
        self.check_batch(keys.shape[1] * get_world_size())
        keys = torch.cat(all_gather(keys.to(self.keys.dtype).contiguous()), dim=1)
        start = int(self.pointer)
        slots = torch.arange(start, start + keys.shape[1], device=keys.device) % self.length
        keys = torch.where(keys.isfinite().all(2, keepdim=True), keys, self.keys[:, slots])
        before_wrap = min(keys.shape[1], self.length - start)
        self.keys[:, start : start + before_wrap] = keys[:, :before_wrap]
        self.keys[:, : keys.shape[1] - before_wrap] = keys[:, before_wrap:]
        self.pointer.fill_((start + keys.shape[1]) % self.length)
