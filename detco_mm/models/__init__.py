"""The algorithm and its parts."""

from .det_preprocessor import det_preprocessor
from .detco import DetCo
from .head import PAIRS, DetCoHead
from .info_nce import info_nce
from .key_queue import KeyQueue
from .momentum import MomentumEncoder
from .neck import SCOPES, STAGES, DetCoNeck
from .preprocessor import DetCoDataPreprocessor
from .res_layer import ResLayerExtraNorm

__all__ = [
    'PAIRS',
    'SCOPES',
    'STAGES',
    'DetCo',
    'DetCoDataPreprocessor',
    'DetCoHead',
    'DetCoNeck',
    'KeyQueue',
    'MomentumEncoder',
    'ResLayerExtraNorm',
    'det_preprocessor',
    'info_nce',
]
