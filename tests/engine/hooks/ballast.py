"""A hook that makes checkpoints larger: a disk fills up."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import zeros


@HOOKS.register_module()
class Ballast(Hook):
    """Add 16 MB to the checkpoints of later epochs."""

    def __init__(self, epoch):
        self.epoch = epoch

    def before_save_checkpoint(self, runner, checkpoint):
        if checkpoint['meta']['epoch'] >= self.epoch:
            checkpoint['ballast'] = zeros(4_000_000)
