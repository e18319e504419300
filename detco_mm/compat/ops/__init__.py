"""mmcv's operations by torchvision's, where mmcv has no compiled module (mmcv-lite).

``mmcv.ops`` takes its operations from the compiled module ``mmcv._ext`` while it is imported. Where no such module
exists, the one made here is found in its place. Whoever has compiled mmcv keeps its operations.
"""

import importlib
import re
import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from torch import Tensor

from . import boxes, deformable, focal_loss, regions

EXTENSION = 'mmcv._ext'

# What mmcv.ops calls in the compiled module itself: operations without a gradient.
WITHOUT_GRADIENT = {
    'nms': boxes.nms,
    'softnms': boxes.softnms,
    'nms_match': boxes.nms_match,
    'bbox_overlaps': boxes.bbox_overlaps,
    'get_compiler_version': lambda: 'not compiled',
    'get_compiling_cuda_version': lambda: 'not compiled',
}
# Operations with a gradient replace what wraps the compiled ones, for autograd knows theirs: module of mmcv.ops, its
# autograd.Function, the function that its users call (attention has none), and what is called instead.
WITH_GRADIENT: tuple[tuple[str, str, str | None, Callable[..., Tensor]], ...] = (
    ('roi_align', 'RoIAlignFunction', 'roi_align', regions.roi_align),
    ('roi_pool', 'RoIPoolFunction', 'roi_pool', regions.roi_pool),
    ('deform_roi_pool', 'DeformRoIPoolFunction', 'deform_roi_pool', regions.deform_roi_pool),
    ('deform_conv', 'DeformConv2dFunction', 'deform_conv2d', deformable.deform_conv2d),
    (
        'modulated_deform_conv',
        'ModulatedDeformConv2dFunction',
        'modulated_deform_conv2d',
        deformable.modulated_deform_conv2d,
    ),
    (
        'multi_scale_deform_attn',
        'MultiScaleDeformableAttnFunction',
        None,
        deformable.multi_scale_deformable_attention,
    ),
    ('masked_conv', 'MaskedConv2dFunction', 'masked_conv2d', deformable.masked_conv2d),
    ('focal_loss', 'SigmoidFocalLossFunction', 'sigmoid_focal_loss', focal_loss.sigmoid_focal_loss),
    ('focal_loss', 'SoftmaxFocalLossFunction', 'softmax_focal_loss', focal_loss.softmax_focal_loss),
)


class MissingOperationError(NotImplementedError):
    """An operation of mmcv was called that has no substitute; the message is one line."""


class _Finder(MetaPathFinder, Loader):
    """Finds ``mmcv._ext`` and makes it; asked last, hence only where there is no compiled one."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname == EXTENSION else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(WITHOUT_GRADIENT, __getattr__=_missing)
        # mmcv.ops is being imported and waits for this module: what it has not imported yet finds these in place.
        for name, function_class, public, substitute in WITH_GRADIENT:
            operations = importlib.import_module(f'mmcv.ops.{name}')
            getattr(operations, function_class).apply = staticmethod(substitute)
            if public:
                setattr(operations, public, substitute)


def _missing(name: str) -> Any:
    """Stand in for an operation until it is called: mmcv.ops asks for all of them while it is imported."""
    if name.startswith('__'):
        raise AttributeError(name)
    operation = re.sub(r'(_forward|_backward)(_\w+)?$', '', name)

    def call(*args: Any, **kwargs: Any) -> Any:
        raise MissingOperationError(
            f'mmcv.ops has no "{operation}" here: it has to be compiled, and mmcv-lite is installed. Use a model '
            "without it, or compile mmcv: pip uninstall mmcv-lite, then pip install 'mmcv>=2.0.0rc4,<2.1'"
        )

    return call


def install() -> bool:
    """Let ``mmcv.ops`` be imported where mmcv has no compiled module; return whether this was not in place yet.

    Symptom: ``No module named 'mmcv._ext'`` when MMDetection or MMSegmentation is imported with mmcv-lite.
    Link: https://github.com/open-mmlab/mmcv/blob/v2.0.1/mmcv/utils/ext_loader.py (load_ext)
    Condition: no ``mmcv._ext`` is found in any other way.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return False
    sys.meta_path.append(_Finder())
    return True
