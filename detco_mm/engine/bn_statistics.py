"""BN's running statistics taken anew, at fixed weights: of detectors, of pre-trainings, of backbones to be exported."""

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dataset import DefaultSampler
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from detco_mm.transforms import DetCoViews, JigsawPatches

#: Batches of each rank to average over: detectron2's ``TEST.PRECISE_BN.NUM_ITER``.
NUM_BATCHES = 200


class _Norms(nn.Module):
    """What PyTorch's `update_bn` resets and averages, and what it calls with each batch."""

    def __init__(self, norms: Iterable[_BatchNorm], run: Callable[[Any], Any]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)
        self.run = run

    def forward(self, batch: Any) -> None:
        self.run(batch)


def average_statistics(norms: Sequence[_BatchNorm], batches: Iterable[Any], run: Callable[[Any], Any]) -> None:
    """Give BN the mean of the statistics of single batches, over all ranks, as detectron2 does.

    Args:
        norms: in training mode. Other modules stay in the mode that they are in.
        batches: of this rank.
        run: sends one batch through the network.

    Source: Wu and Johnson, Rethinking "Batch" in BatchNorm (arXiv 2105.07576), section 3.
    """
    update_bn(batches, _Norms(norms, run))
    if get_world_size() > 1:
        statistics: list[Any] = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)]
        joined = torch.cat(statistics)
        all_reduce(joined, 'mean')
        for tensor, mean in zip(statistics, joined.split([len(tensor) for tensor in statistics]), strict=True):
            tensor.copy_(mean)


def own_batches(loader: DataLoader, count: int, seed: int, dataset: Any = None) -> Iterator[Any]:
    """Yield batches like those of a training loader, going through a short set again.

    They come from workers of their own: the training's, which may be persistent, stay where they are in their epoch.

    Args:
        loader: of the training.
        count: how many batches this rank gets.
        seed: of their order, the same on all ranks.
        dataset: what to read in the place of the loader's own.
    """
    dataset = loader.dataset if dataset is None else dataset
    like: Any = loader.batch_sampler  # of PyTorch or of MMDetection: both are built alike
    kind = type(like.sampler) if isinstance(like.sampler, DefaultSampler) else DefaultSampler
    sampler = kind(dataset, shuffle=True, seed=seed)
    own: DataLoader = DataLoader(
        dataset,
        batch_sampler=type(like)(sampler, like.batch_size, like.drop_last),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        worker_init_fn=loader.worker_init_fn,
    )
    while count > 0:
        for batch in itertools.islice(own, count):
            yield batch
            count -= 1


def unaugmented(dataset: Any) -> Any:
    """Return a data set of the same images as they are, without augmentation or patches, read in the same way.

    Returns:
        A shallow copy whose pipeline ends as the given one does; None if the pipeline has no DetCoViews.
    """
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    if not any(isinstance(step, DetCoViews) for step in steps):
        return None
    made = copy.copy(dataset)
    made.pipeline = copy.copy(dataset.pipeline)
    made.pipeline.transforms = [
        step.unaugmented() if isinstance(step, DetCoViews) else step
        for step in steps
        if not isinstance(step, JigsawPatches)
    ]
    return made


def reestimate(
    backbones: Sequence[nn.Module], preprocessor: nn.Module, loader: DataLoader, num_batches: int, plain: bool = True
) -> str | None:
    """Re-estimate the statistics of backbones on the whole images of a pre-training, without its patches.

    BN that is in evaluation mode, as with ``norm_eval=True``, keeps what its weights were trained with.

    Args:
        backbones: in training mode.
        preprocessor: of the pre-training; it does not change colours here.
        loader: of the pre-training.
        num_batches: of each rank, at most; no image is seen twice.
        plain: take the images as they are; False, or a pipeline of one's own, takes the first global view.

    Returns:
        On what they were estimated, in words; None if there is no BN, and nothing was done.
    """
    dataset = unaugmented(loader.dataset) if plain else None
    count = min(num_batches, len(loader))
    sizes: set[tuple[int, int]] = set()

    def run(batch: dict) -> None:
        views = batch['inputs']
        views = views[:1] if isinstance(views, list | tuple) else views
        images = preprocessor(dict(inputs=views), False)['inputs'][0]
        sizes.add((images.shape[-2], images.shape[-1]))
        for backbone in backbones:
            backbone.forward(images)  # not __call__, which may be compiled

    with _norms_alone_in_training(backbones) as norms:
        if not norms:
            return None
        average_statistics(norms, own_batches(loader, count, 0, dataset), run)
    kind = 'global views' if dataset is None else 'images without augmentation'
    size = ', '.join(f'{width} x {height}' for height, width in sorted(sizes))
    number = count * (loader.batch_size or 1) * get_world_size()
    return f're-estimated on {number:,} {kind} of {size} pixels'


@contextmanager
def _norms_alone_in_training(backbones: Sequence[nn.Module]) -> Iterator[list[_BatchNorm]]:
    """Keep dropped paths and their like out of what BN sees, as they will be when its statistics are used."""
    modules = [module for backbone in backbones for module in backbone.modules()]
    modes = [module.training for module in modules]
    norms = [m for m in modules if isinstance(m, _BatchNorm) and m.training and isinstance(m.running_mean, Tensor)]
    try:
        for module in modules:
            module.training = False
        for norm in norms:
            norm.training = True
        yield norms
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[int]:
    """Have the BN of a network normalise by the statistics of each batch, and everything else evaluate.

    Nothing of the network changes: neither mode nor running statistics. No rank waits for another one, not in SyncBN
    either. BN that is in evaluation mode, as with ``norm_eval=True``, keeps to what its weights were trained with.

    Yields:
        How many BN layers that is.
    """
    modules = list(network.modules())
    modes = [module.training for module in modules]
    norms: list[Any] = [module for module in modules if isinstance(module, _BatchNorm) and module.training]
    kept = [(norm.running_mean, norm.running_var) for norm in norms]
    try:
        for module in modules:
            module.training = False
        for norm in norms:
            norm.running_mean = norm.running_var = None
        yield len(norms)
    finally:
        for norm, (mean, var) in zip(norms, kept, strict=True):
            norm.running_mean, norm.running_var = mean, var
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
