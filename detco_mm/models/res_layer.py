"""ResLayerExtraNorm: res5 as the head of a C4 detector, with one more norm behind it."""

from mmengine.model import BaseModule
from torch import Tensor

from detco_mm.registry import MODELS


@MODELS.register_module()
class ResLayerExtraNorm(BaseModule):
    """MMDetection's ResLayer and a norm of its output: detectron2 users' ``Res5ROIHeadsExtraNorm``.

    Without it, features of an unsupervised res5, whose scale nothing bounds, go straight into the predictors.

    Args:
        depth: of the ResNet.
        norm_cfg: of res5 and of the norm behind it.
        init_cfg: handed to res5: ``dict(type='Pretrained', checkpoint=...)`` takes the file's ``layer4.*``.
        kwargs: the other arguments of MMDetection's ResLayer.

    Source: MoCo, appendix A.2 ("an extra BN layer following the res5 stage"); the authors' ``train_net.py``.
    """

    def __init__(self, depth: int, norm_cfg: dict, init_cfg: dict | None = None, **kwargs) -> None:
        super().__init__()
        # Imported here: pre-training alone needs neither MMDetection nor mmcv's compiled operations.
        from mmcv.cnn import build_norm_layer

        self.res_layer = MODELS.build(
            dict(type='mmdet.ResLayer', depth=depth, norm_cfg=norm_cfg, init_cfg=init_cfg, **kwargs)
        )
        channels = 512 if depth in (18, 34) else 2048
        self.norm = build_norm_layer(norm_cfg, channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        """(R, C4, h, w) features of R regions -> (R, C5, h / 2, w / 2)."""
        return self.norm(self.res_layer(x))
