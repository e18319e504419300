"""PreciseBN: the statistics of every BN taken anew, at fixed weights, before they are evaluated or saved."""

import itertools
from collections.abc import Iterator
from typing import Any

from mmengine.dataset import DefaultSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from detco_mm.registry import HOOKS


@HOOKS.register_module()
class PreciseBN(Hook):
    """MMClassification's precise BN for detectors.

    Its own hook asks the data loader for a batch size, which loaders that batch by aspect ratio, as MMDetection's do,
    have not; and it counts images where detectron2 counts batches.

    Args:
        interval: iterations of training from one time to the next; a multiple of it is to be the interval of evaluation
            and of checkpoints, before which this hook runs.
        num_iters: batches of each rank to average over; detectron2's ``TEST.PRECISE_BN.NUM_ITER`` is 200.

    Source: Wu and Johnson, Rethinking "Batch" in BatchNorm (arXiv 2105.07576), section 3.
    """

    priority = 'ABOVE_NORMAL'  # before the checkpoint is written

    def __init__(self, interval: int, num_iters: int = 200) -> None:
        for name, value in (('interval', interval), ('num_iters', num_iters)):
            if value < 1:
                raise ValueError(f'{name}={value}: it is a number of iterations, at least 1')
        self.interval = interval
        self.num_iters = num_iters

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Take the statistics at every `interval`."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        from mmcls.engine.hooks.precise_bn_hook import update_bn_stats

        batches = _Batches(runner.train_dataloader, self.num_iters, seed=runner.iter)
        update_bn_stats(runner.model, batches, self.num_iters * get_world_size(), logger=runner.logger)


class _Batches:
    """Batches like those of a training loader, each counted as one sample.

    They come from workers of their own: the training's, which may be persistent, stay where they are in their epoch.
    """

    batch_size = 1

    def __init__(self, loader: DataLoader, length: int, seed: int) -> None:
        sampler = DefaultSampler(loader.dataset, shuffle=True, seed=seed)
        like: Any = loader.batch_sampler  # of PyTorch or of MMDetection: both are built alike
        self.loader = DataLoader(
            loader.dataset,
            batch_sampler=type(like)(sampler, like.batch_size, like.drop_last),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            worker_init_fn=loader.worker_init_fn,
        )
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        done = 0
        while done < self.length:  # a short set is gone through again
            for batch in itertools.islice(self.loader, self.length - done):
                yield batch
                done += 1
