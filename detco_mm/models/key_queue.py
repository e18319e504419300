"""KeyQueue: ring buffers of keys, the same on every rank."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from torch import Tensor, nn

DTYPES = ('float32', 'float16', 'bfloat16')


class KeyQueue(nn.Module):
    """G ring buffers of K keys that share one pointer.

    All are filled in step, one row for each (scope, stage), so one pointer serves. Both buffers are part of the
    checkpoint, and a resumed run goes on where it was.

    Args:
        num_rows: G, the number of queues.
        length: K, the number of keys in each.
        dim: D, the dimensions of a key.
        dtype: 'float32', 'float16' or 'bfloat16', the type in which keys are stored and sent from rank to rank; the
            loss is computed in float32 in any case. A half type halves the memory. Over 65536 keys of 128 dimensions at
            temperature 0.2, with float16 the loss is off by 1e-7 of itself and its gradient by 2e-6, about as much as
            float32's own rounding; with bfloat16 by 2e-6 and 2e-5.

    Raises:
        ValueError: if a number is below 1, or the type is another one.

    Source: MoCo, section 3.2; the queue starts as random unit vectors, as in MoCo's code.
    """

    keys: Tensor  # (G, K, D)
    pointer: Tensor  # (), where the next key goes

    def __init__(self, num_rows: int, length: int, dim: int, dtype: str = 'float32') -> None:
        super().__init__()
        for name, value in (('num_rows', num_rows), ('queue_len', length), ('dim', dim)):
            if value < 1:
                raise ValueError(f'a key queue with {name}={value}: it must be at least 1')
        if dtype not in DTYPES:
            raise ValueError(f'queue_dtype={dtype!r} is no type to store keys in: choose from {", ".join(DTYPES)}')
        start = F.normalize(torch.randn(num_rows, length, dim), dim=2)
        self.register_buffer('keys', start.to(getattr(torch, dtype)))
        self.register_buffer('pointer', torch.zeros((), dtype=torch.long))

    @property
    def length(self) -> int:
        """K, the number of keys in each row."""
        return self.keys.shape[1]

    def newest(self, count: int) -> Tensor:
        """Return the newest keys, (G, min(count, K), D), the last one first."""
        back = torch.arange(1, min(count, self.length) + 1, device=self.keys.device)
        return self.keys[:, (self.pointer - back) % self.length]

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
        # The pointer stays on the device: to read it would be to wait for all that was asked of a GPU.
        places = (self.pointer + torch.arange(keys.shape[1], device=keys.device)) % self.length
        keys = torch.where(keys.isfinite().all(2, keepdim=True), keys, self.keys[:, places])
        self.keys[:, places] = keys
        self.pointer.add_(keys.shape[1]).remainder_(self.length)
