"""MMDetection's preprocessor for images of any number of channels."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from detco_mm.registry import MODELS


@MODELS.register_module(name='DetPreprocessor')
def det_preprocessor(mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> BaseDataPreprocessor:
    """Build MMDetection's DetDataPreprocessor, whose mean and std have to be of one or three channels, with N.

    Args:
        mean: N numbers, on the scale 0..255.
        std: N numbers above 0.
        **kwargs: those of DetDataPreprocessor; not bgr_to_rgb, for what is not RGB has no such order.

    Raises:
        ValueError: if mean and std differ in length, or a std is not positive.
    """
    from mmdet.models.data_preprocessors import DetDataPreprocessor  # a part of the stack that pre-training leaves out

    if len(mean) != len(std) or min(std) <= 0:
        raise ValueError(f'mean={list(mean)} and std={list(std)}: give one of each a channel, and every std above 0')
    made = DetDataPreprocessor(**kwargs)
    made.register_buffer('mean', torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), False)
    made.register_buffer('std', torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), False)
    made._enable_normalize = True
    return made
