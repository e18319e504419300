"""Where the time of one training step goes, part by part.

    python tools/benchmarks/parts.py [--batch-size 8] [--precision float32|bf16] [--compile] [--device cpu|cuda]

The step is that of step.py. Each part runs in a range of torch.profiler; its time is that of the device, or on the CPU
that of the process. Of the backward pass, what autograd calls for convolutions, norms and the like, or for compiled
code, counts as the backbone's, the rest as ours. A single process has nobody to shuffle with: --bn-splits above 1 lets
it shuffle within its batch.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from _harness import parser, report
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from step import build, read, sizes, views
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from detco_mm.models.shuffle_bn import Draws, Shuffle

Range = Callable[[str], AbstractContextManager]
# What autograd calls on the way back through a ResNet. Names differ between CPU, cuDNN and compiled code.
BACKBONE = ('Convolution', 'BatchNorm', 'Relu', 'MaxPool', 'CompiledFunction', 'AddBackward', 'ToCopy')
STEP, BACKWARD, ENGINE = 'whole step', 'backward', 'autograd::engine::evaluate_function: '
OURS = ('contrast', 'projections', 'momentum update', 'queue', 'shuffle')


class Recorded(nn.Module):
    """A module whose calls are a range; around it, for a compiled module does not keep what is inside."""

    def __init__(self, name: str, module: nn.Module, ranges: Range) -> None:
        super().__init__()
        self.name, self.module, self.ranges = name, module, ranges

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Call the module."""
        with self.ranges(self.name):
            return self.module(images)


def recorded(name: str, function: Callable, ranges: Range = record_function) -> Callable:
    """Return the function, its calls a range."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with ranges(name):
            return function(*args, **kwargs)

    return call


def watch(model: nn.Module, ranges: Range = record_function) -> None:
    """Make ranges of the parts of a model."""
    for encoder in (model, model.key_encoder):
        whose = 'queries' if encoder is model else 'keys'
        encoder.backbone = Recorded(f'backbone, {whose}', encoder.backbone, ranges)
    parts = {
        'projections': [(encoder.neck, name) for encoder in (model, model.key_encoder) for name in ('forward', 'pool')],
        'contrast': [(model.head, 'forward')],
        'queue': [(model.queue, 'enqueue')],
        'momentum update': [(model.key_encoder, 'update')],
        'preprocessor': [(model.data_preprocessor, 'forward')],
        'shuffle': [(Draws, 'permutation'), (Shuffle, '__init__'), (Shuffle, 'there'), (Shuffle, 'back')],
    }
    for part, functions in parts.items():
        for owner, name in functions:
            if hasattr(owner, name):  # a neck of one's own need not pool
                setattr(owner, name, recorded(part, getattr(owner, name), ranges))


def watched(config: Config, args: Any) -> Callable[[dict], Any]:
    """Return a training step whose parts are ranges."""
    model = build(config, args)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    watch(model)
    wrapper.backward = recorded(BACKWARD, wrapper.backward)
    wrapper.step = recorded('optimizer', wrapper.step)
    return lambda data: model.train_step(data, wrapper)


def shares(events: Any, on_device: bool) -> dict[str, float]:
    """Microseconds of each part, of all steps together."""
    found: dict[str, float] = {}
    for event in events:
        if event.device_type != DeviceType.CPU:  # the device's own record of the same ranges
            continue
        took = event.device_time_total if on_device else event.cpu_time_total
        if event.key.startswith(ENGINE):
            function = event.key.removeprefix(ENGINE)
            part = 'backbone, backward' if any(name in function for name in BACKBONE) else 'backward of the rest'
            found[part] = found.get(part, 0) + took
        elif event.key in (*OURS, STEP, BACKWARD, 'preprocessor', 'optimizer', 'backbone, queries', 'backbone, keys'):
            found[event.key] = took
    whole = found.pop(STEP)
    found.pop(BACKWARD, None)  # its parts are there
    return dict(sorted(found.items(), key=lambda item: -item[1])) | {'other': max(0.0, whole - sum(found.values()))}


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=3)
    sizes(flags)
    flags.add_argument('--precision', choices=['float32', 'bf16'], default='bf16', help='default: %(default)s')
    flags.add_argument('--bn-splits', type=int, default=1, help='default: %(default)s')
    args = flags.parse_args()
    init_default_scope('mmselfsup')
    on_device = args.device != 'cpu'
    config = read(args, bf16=args.precision == 'bf16')
    config.model.bn_splits = args.bn_splits
    step, data = watched(config, args), views(args)
    for _ in range(2):
        step(data)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    with profile(activities=activities) as profiler:
        for _ in range(args.repeats):
            with record_function(STEP):
                step(data)
        if on_device:
            torch.accelerator.synchronize()
    found = shares(profiler.key_averages(), on_device)
    whole = sum(found.values())
    table = [['part', 'ms a step', 'share']]
    for part, took in found.items():
        table.append([part, f'{took / 1000 / args.repeats:.2f}', f'{100 * took / whole:.1f} %'])
    backbone = sum(took for part, took in found.items() if part.startswith('backbone')) / whole
    ours = sum(found.get(part, 0) for part in OURS) / whole
    table += [
        ['backbone in all', '', f'{100 * backbone:.1f} %'],
        ['ours: ' + ', '.join(OURS), '', f'{100 * ours:.1f} %'],
    ]
    compiled = ', compiled' if args.compile and args.precision == 'bf16' else ''
    title = f'Parts of a step: ResNet-{args.depth}, batch {args.batch_size}, {args.precision}{compiled}, {args.device}'
    report(title, table, dict(microseconds=found, steps=args.repeats, backbone=backbone, ours=ours), args.json)


if __name__ == '__main__':
    main()
