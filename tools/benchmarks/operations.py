"""torchvision's operations, which stand in for mmcv's here, against mmcv's compiled ones.

    python tools/benchmarks/operations.py COMPILED_PYTHON [--repeats 5] [--json FILE]

COMPILED_PYTHON is the Python of another environment, with the same PyTorch and with mmcv compiled. Two environments do
not fit into one process: one of each runs in turn, and its figure is the median of several calls. All on the CPU, in
sizes of a detector with 64 channels on an image of 1333x800.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _harness import parser, ratio, report

ROOT = Path(__file__).resolve().parents[2]


def regions(count: int) -> torch.Tensor:
    """Return (count, 4) boxes within 1333x800."""
    torch.manual_seed(0)
    corners = torch.rand(count, 2) * torch.tensor([1100.0, 600.0])
    return torch.cat([corners, corners + 16 + torch.rand(count, 2) * 200], 1)


def operations() -> dict[str, Callable[[], Any]]:
    """Return what is timed, by name."""
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d, nms, roi_align

    boxes, scores = regions(2000), torch.rand(2000)
    rois = torch.cat([torch.zeros(256, 1), regions(256)], 1)
    maps = torch.rand(1, 64, 200, 334, requires_grad=True)
    small = torch.rand(1, 64, 50, 84, requires_grad=True)
    weight = torch.rand(64, 64, 3, 3, requires_grad=True)
    offset = torch.rand(1, 18, 50, 84, requires_grad=True)
    mask = torch.rand(1, 9, 50, 84, requires_grad=True)
    pooled = roi_align(maps, rois, (7, 7), 0.25, 0, 'avg', True)
    gradient = torch.rand_like(pooled)
    return {
        'nms of 2000 boxes': lambda: nms(boxes, scores, 0.7),
        'roi_align, 256 regions': lambda: roi_align(maps, rois, (7, 7), 0.25, 0, 'avg', True),
        'its gradient': lambda: torch.autograd.grad(pooled, maps, gradient, retain_graph=True),
        'deform_conv2d and its gradients': lambda: deform_conv2d(small, offset, weight, 1, 1).sum().backward(),
        'modulated_deform_conv2d and its gradients': lambda: (
            modulated_deform_conv2d(small, offset, mask, weight, None, 1, 1).sum().backward()
        ),
        'a step of Mask R-CNN R18-FPN': detector_step(),
    }


def detector_step() -> Callable[[], Any]:
    """Return a step of the mini detector: forward, backward, without the optimizer's update."""
    from mmdet.registry import MODELS
    from mmdet.testing import demo_mm_inputs
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope('mmdet')
    config = Config.fromfile(ROOT / 'configs/mini/mask-rcnn_r18_fpn_embedded.py')
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    inputs = demo_mm_inputs(4, [[3, 256, 320]] * 4, num_items=[6] * 4, num_classes=8, with_mask=True)
    data = model.data_preprocessor(inputs, True)

    def step() -> None:
        losses, _ = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
        losses.backward()

    return step


def measure(calls: int = 3) -> dict[str, float]:
    """Return the median seconds of each operation in this environment."""
    found = {}
    for name, operation in operations().items():
        operation()
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            operation()
            seconds.append(time.perf_counter() - start)
        found[name] = statistics.median(seconds)
    return found


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=5)
    flags.add_argument('compiled_python')
    flags.add_argument('--in-this-process', action='store_true', help='time one environment, for the run itself')
    args = flags.parse_args()
    if args.in_this_process:
        print(json.dumps(measure()))
        return
    pythons = {'compiled mmcv': args.compiled_python, "torchvision's": sys.executable}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    for _ in range(args.repeats):
        for name, python in pythons.items():
            line = [python, __file__, python, '--in-this-process']
            environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
            done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    seconds = {
        operation: {name: [found[operation] for found in runs[name]] for name in pythons}
        for operation in runs['compiled mmcv'][0]
    }
    table = [['operation', 'compiled, ms', "torchvision's, ms", 'times faster']]
    for operation, sides in seconds.items():
        compiled, ours = sides.values()
        medians = [f'{1000 * statistics.median(side):.1f}' for side in (compiled, ours)]
        table.append([operation, *medians, f'{ratio(compiled, ours):.2f}x'])
    report("mmcv's operations, compiled and by torchvision", table, dict(seconds=seconds), args.json)


if __name__ == '__main__':
    main()
