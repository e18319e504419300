"""BN statistics of a backbone that is to be exported, from the images of its pre-training or any others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor

from detco_mm.checkpoints.config_text import read_config_text
from detco_mm.checkpoints.registered import check_types
from detco_mm.engine.bn_statistics import NUM_BATCHES, reestimate
from detco_mm.registry import with_four_maps
from detco_mm.transforms import sources
from detco_mm.weights.stored_config import stored_backbone

#: What is taken of the run's loader: what batches look like, and not who starts its workers.
LOADER = ('batch_size', 'num_workers', 'drop_last', 'collate_fn', 'sampler', 'dataset')


def reestimated(
    checkpoint: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    images: str | Path | None = None,
    num_batches: int = NUM_BATCHES,
    plain: bool = True,
) -> tuple[dict[str, Tensor], str | None]:
    """Re-estimate the statistics of one backbone, which is built as its pre-training's config says.

    Images are read as in pre-training: bands, value range, mean and std come from the checkpoint.

    Args:
        checkpoint: of a DetCo run.
        weights: of one of its backbones, by their names in the run.
        images: any folder of images. Default: where the run's images were, if they are there; where the run itself has
            re-estimated the statistics, they stay.
        num_batches: at most, of the run's size.
        plain: as for :func:`detco_mm.engine.bn_statistics.reestimate`.

    Returns:
        All weights, and on what the statistics were re-estimated; None where they are as training left them.

    Raises:
        ValueError: if there is one image alone, or ``images`` are given for a checkpoint that does not say what its
            backbone is.
    """
    known = checkpoint.get('meta', {}).get('bn_statistics')
    cfg = ConfigDict(read_config_text(checkpoint))
    loader = cfg.get('train_dataloader')
    if not loader or loader.get('dataset', {}).get('type') != 'detco_mm.ImageFolder':
        loader = None  # a detector's, say, whose statistics are not those of a pre-training
    if images is None:
        where = loader.dataset.get('data_root') or '' if loader else ''
        # nothing is fetched because a file says so
        if known or '://' in where or not sources.is_folder(where):
            return dict(weights), known
    elif not loader:
        raise ValueError(
            f'images "{images}" are of no use to a checkpoint that holds no config of a pre-training: leave them out'
        )
    else:
        loader.dataset = {key: loader.dataset[key] for key in ('type', 'pipeline')} | dict(data_root=str(images))
    loader = ConfigDict({key: loader[key] for key in LOADER if key in loader})
    check_types(dict(train_dataloader=loader, model=dict(data_preprocessor=cfg.model.data_preprocessor)))
    stored = stored_backbone(checkpoint)
    assert stored is not None  # a pre-training has one
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmselfsup')):
        dataset = DATASETS.build(dict(loader.dataset, lazy_init=False))
        if len(dataset) < 2:
            raise ValueError(
                'BN statistics of 1 image: --images needs two at least, and some hundreds for a good estimate'
            )
        backbone = MODELS.build(with_four_maps(stored))
        backbone.load_state_dict(dict(weights))
        backbone.to(get_device()).train()
        preprocessor = MODELS.build(cfg.model.data_preprocessor).to(get_device())
        batch_size = min(loader.batch_size, len(dataset))
        own = dict(batch_size=batch_size, persistent_workers=False, dataset=dataset)
        built = Runner.build_dataloader({**loader, **own})
        said = reestimate([backbone], preprocessor, built, num_batches, plain)
    return {name: tensor.cpu() for name, tensor in backbone.state_dict().items()}, said
