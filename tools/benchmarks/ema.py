"""The key encoder's update: all weights in one multi-tensor operation against MMEngine's moving average.

    python tools/benchmarks/ema.py [--device cpu|cuda] [--repeats 30] [--json FILE]

ResNet-50 and the paper's projections. MMSelfSup's MoCo has MMEngine's ExponentialMovingAverage.
"""

import copy
import statistics
from pathlib import Path

import torch
from _harness import interleaved, parser, ratio, report
from mmengine.config import Config
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import init_default_scope
from torch import nn

from detco_mm.models import MomentumEncoder
from detco_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=30)
    flags.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='default: %(default)s')
    args = flags.parse_args()
    init_default_scope('mmselfsup')
    config = Config.fromfile(ROOT / 'configs/detco_r50_8xb32.py').model
    backbone = MODELS.build({**config.backbone, 'out_indices': (0, 1, 2, 3)}).to(args.device)
    neck = MODELS.build(config.neck).to(args.device)
    ours = MomentumEncoder(backbone, neck, config.momentum)
    encoder = nn.Sequential(backbone, neck)
    theirs = ExponentialMovingAverage(copy.deepcopy(encoder), momentum=1 - config.momentum)
    sides = {
        "MMEngine's ExponentialMovingAverage": lambda: theirs.update_parameters(encoder),
        'MomentumEncoder': lambda: ours.update(backbone, neck),
    }
    done = torch.accelerator.synchronize if args.device != 'cpu' else lambda: None
    seconds = interleaved(sides, args.repeats, warmup=3, done=done)
    slower, faster = seconds.values()
    gain = ratio(slower, faster)
    table = [['update', 'ms', 'times faster']]
    for (name, times), times_faster in zip(seconds.items(), (1.0, gain), strict=True):
        table.append([name, f'{1000 * statistics.median(times):.2f}', f'{times_faster:.1f}x'])
    weights = sum(weight.numel() for weight in encoder.parameters())
    report(
        f'Moving average of {weights / 1e6:.1f} M weights in {len(list(encoder.parameters()))} tensors, {args.device}',
        table,
        dict(weights=weights, ratio=gain, seconds=seconds),
        args.json,
    )


if __name__ == '__main__':
    main()
