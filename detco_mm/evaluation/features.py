"""Features of a frozen backbone for every image of a data loader."""

from collections.abc import Mapping

import torch
from mmengine.device import get_device
from mmengine.registry import MODELS
from mmengine.utils import track_iter_progress
from torch import Tensor, nn
from torch.utils.data import DataLoader


@torch.no_grad()
def extract(
    backbone: nn.Module, loader: DataLoader, preprocessor: Mapping, pools: Mapping[int, nn.Module]
) -> dict[int, Tensor]:
    """Pool the maps of some stages.

    Args:
        backbone: maps (N, 3, H, W) to a tuple of maps; the features are those of its evaluation mode.
        loader: yields what MMClassification's data preprocessor takes; in the order of its data set.
        preprocessor: `data_preprocessor` of a classifier's config, for mean, standard deviation and colour order.
        pools: by the index of a map in the tuple, what makes (N, C, h, w) smaller.

    Returns:
        By the same index (images, C * h * w) float32 on the CPU.
    """
    device = get_device()
    backbone.to(device).eval()
    prepare = MODELS.build(dict(type='mmcls.ClsDataPreprocessor') | dict(preprocessor)).to(device)
    pooled: dict[int, list[Tensor]] = {index: [] for index in pools}
    for batch in track_iter_progress((loader, len(loader))):
        maps = backbone(prepare(batch)['inputs'])
        for index, pool in pools.items():
            pooled[index].append(pool(maps[index]).flatten(1).cpu())
    print()
    return {index: torch.cat(parts) for index, parts in pooled.items()}
