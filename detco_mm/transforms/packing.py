"""PackDetCoInputs: the last step, from views to what a batch is made of."""

from typing import Any

import cv2
import numpy as np
import torch

from detco_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackDetCoInputs:
    """Turn ``views`` into uint8 tensors, channels first, beside an MMSelfSup data sample that knows ``img_path``.

    The result is ``dict(inputs=[global query, global key, local query, local key], data_samples=...)``, with global
    views (C, H, W) and local ones (P, C, H, W). Both ``default_collate`` and ``pseudo_collate`` make batches of it; the
    former sends four tensors through shared memory, the latter four for each image.

    Args:
        meta_keys: What to copy from the item into the data sample's meta information. Not ``sample_idx``, which
            MMSelfSup's data sample wants as an InstanceData.
    """

    def __init__(self, meta_keys: tuple[str, ...] = ('img_path',)) -> None:
        self.meta_keys = tuple(meta_keys)

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack one item."""
        # Imported at the first use, for it draws in MMSelfSup, MMClassification and mmcv.
        from mmselfsup.structures import SelfSupDataSample

        meta = {key: results[key] for key in self.meta_keys}
        inputs = [torch.from_numpy(channels_first(view)) for view in results['views']]
        return dict(inputs=inputs, data_samples=SelfSupDataSample(metainfo=meta))


def channels_first(view: np.ndarray) -> np.ndarray:
    """Copy (..., H, W, C) into a contiguous (..., C, H, W)."""
    height, width, channels = view.shape[-3:]
    copy = np.empty((*view.shape[:-3], channels, height, width), view.dtype)
    # OpenCV's split is vectorised, NumPy's transposing copy is not.
    for image, planes in zip(
        view.reshape(-1, height, width, channels), copy.reshape(-1, channels, height, width), strict=True
    ):
        cv2.split(image, list(planes))
    return copy
