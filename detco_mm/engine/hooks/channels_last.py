"""ChannelsLast: a detector's convolutions with the channels last, as many CPUs and AMP prefer them."""

import torch
from mmengine.runner import Runner

from detco_mm.registry import HOOKS

from .match_layout import MatchLayout


@HOOKS.register_module()
class ChannelsLast(MatchLayout):
    """Lay a model's weights out as channels last; convolutions pass the layout on to what they compute.

    Pre-training has ``data_preprocessor.channels_last`` for this. The shapes of all tensors, and what is computed but
    for rounding, stay as they are; what was trained in the other layout is resumed.
    """

    def before_run(self, runner: Runner) -> None:
        """Lay them out before weights or a checkpoint are loaded into them."""
        runner.model.to(memory_format=torch.channels_last)
