"""BNGroups: over how many images the key encoder's BN takes its statistics, and whether BN could leak."""

import logging

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

#: The fewest images of a group where there is a choice: those of configs/mini, and half of MoCo's 32 a GPU.
GROUP = 16
#: MoCo's number of GPUs, which the groups of a single process imitate.
MOST_GROUPS = 8


def number_of_groups(images: int) -> int:
    """Choose groups for one process that imitates several.

    Args:
        images: N.

    Returns:
        The largest number up to 8 that divides N and leaves 16 images in each; where there is none, the smallest that
        divides N and leaves two; 1, which shuffles nothing, where there is none either.
    """
    fitting = [count for count in range(2, MOST_GROUPS + 1) if images % count == 0 and images // count >= 2]
    large = [count for count in fitting if images // count >= GROUP]
    return max(large) if large else min(fitting, default=1)


def warn_of_norms(backbone: nn.Module) -> None:
    """Warn of BN that would corrupt a pre-training: synchronised, or in evaluation mode throughout.

    Args:
        backbone: of the query encoder.
    """
    # by name: mmcv has one of its own
    if any(type(module).__name__ == 'SyncBatchNorm' for module in backbone.modules()):
        print_log(
            'SyncBN in the pre-training backbone: its statistics over all GPUs undo shuffling BN, and query and '
            "key recognise each other by them (MoCo, section 3.3); use norm_cfg=dict(type='BN')",
            logger='current',
            level=logging.WARNING,
        )
    if getattr(backbone, 'norm_eval', False) and any(isinstance(module, _BatchNorm) for module in backbone.modules()):
        print_log(
            f'norm_eval=True, which is the default of {type(backbone).__name__}: BN keeps the statistics that it '
            "starts with, which are nobody's where weights are random; set model.backbone.norm_eval=False",
            logger='current',
            level=logging.WARNING,
        )


class BNGroups:
    """Turn ``bn_splits`` into a number of groups, and say once for each size of a batch what it is.

    Args:
        bn_splits: a number of groups, or 'auto'.
        shuffle_bn: whether keys are encoded in another order than queries.
        has_bn: whether the key encoder has BN at all; if not, there is one group and nothing to shuffle.

    Raises:
        ValueError: if ``bn_splits`` is neither.
    """

    def __init__(self, bn_splits: int | str, shuffle_bn: bool, has_bn: bool) -> None:
        if bn_splits != 'auto' and not (isinstance(bn_splits, int) and bn_splits >= 1):
            raise ValueError(f"bn_splits={bn_splits!r}: it is a number of groups, at least 1, or 'auto'")
        self.bn_splits = bn_splits
        self.shuffle_bn = shuffle_bn and has_bn
        self.has_bn = has_bn
        self._known: set[int] = set()
        if not has_bn:
            print_log('no BN in the key encoder: its batch is neither shuffled nor split', logger='current')

    def __call__(self, images: int) -> int:
        """Return the number of groups of a batch.

        Args:
            images: N.

        Raises:
            ValueError: if ``bn_splits`` does not divide N, or leaves one image a group, which makes BN instance norm.
        """
        if not self.has_bn:
            return 1
        world = get_world_size()
        if self.bn_splits == 'auto':
            groups = number_of_groups(images) if world == 1 and self.shuffle_bn else 1
        else:
            groups = int(self.bn_splits)
        if groups > 1 and (images % groups or images // groups < 2):
            raise ValueError(
                f'bn_splits={groups} and a batch of {images}: groups are equal, of two images at least; set '
                "model.bn_splits='auto', or choose another train_dataloader.batch_size"
            )
        if images not in self._known:
            self._known.add(images)
            self._tell(images, groups, world)
        return groups

    def _tell(self, images: int, groups: int, world: int) -> None:
        if self.bn_splits == 'auto' and groups > 1:
            print_log(
                f'one process: BN of the key encoder over {groups} groups of {images // groups} of the shuffled batch, '
                'as on so many GPUs',
                logger='current',
            )
        if not self.shuffle_bn or (world == 1 and groups == 1):
            print_log(
                f'query and key share the statistics of BN (shuffle_bn={self.shuffle_bn}, {world} process(es), '
                f'{groups} group(s) of a batch of {images}) and may recognise each other by them, which accuracies '
                "near 100 % with a small loss tell: set model.shuffle_bn=True and model.bn_splits='auto'",
                logger='current',
                level=logging.WARNING,
            )
