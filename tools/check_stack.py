"""Import the whole stack, run one operation of mmcv, print the versions."""

import platform
import sys
from importlib.metadata import version

import _stack  # noqa: F401
import mmcv
import mmdet.models  # noqa: F401
import mmseg.models  # noqa: F401
import mmselfsup.models  # noqa: F401
import torch
import torchvision
from mmcv.ops import nms
from mmengine.device import get_device

import detco_mm.models  # noqa: F401
import detco_mm.transforms  # noqa: F401

device = get_device()
boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]], device=device)
kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)[1]
if kept.tolist() != [0, 2]:
    sys.exit(f'mmcv.ops.nms kept boxes {kept.tolist()} and not [0, 2]: install torchvision again')

print(f'detco_mm {detco_mm.__version__} on Python {platform.python_version()}, {platform.machine()}, device {device}')
print(
    f'torch {torch.__version__}, torchvision {torchvision.__version__}, mmcv {mmcv.__version__} (nms ran on {device})'
)
print(
    ', '.join(
        f'{name} {version(name)}' for name in ('mmengine', 'mmcls', 'mmselfsup', 'mmdet', 'mmsegmentation', 'numpy')
    )
)
