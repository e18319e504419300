"""One training step: this project's against a plainly written one and against the bare backbone.

    python tools/benchmarks/step.py [--batch-size 8] [--depth 50] [--size 224] [--compile] [--device cpu|cuda]

DetCo is the paper's config, from uint8 views to updated weights, in float32 and, as configs/detco_r50_8xb32_fast.py
has it, in bf16 with channels last; the backbones of the latter are compiled with --compile. Plain is the step as the
unofficial implementation writes it: its projection of nine concatenated patches, twelve cross-entropies over copies of
the queue, a moving average weight by weight. The floor is what no implementation can avoid: forward and
backward of the backbone on the query views, forward on the key views. What DetCo takes beyond the floor of its own
precision is what is ours. The training state is both encoders, gradients, SGD's momentum and queues. A side that does
not fit the device's memory is left out.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _harness import interleaved, parser, ratio, report
from contrast import plain
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import Tensor

from detco_mm.models.detco import DetCo
from detco_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
PROJECTIONS = ('compact', 'per_patch', 'joint')
WIDTHS = {18: (64, 128, 256, 512), 50: (256, 512, 1024, 2048)}


def read(args: Any, bf16: bool) -> Config:
    """Return the paper's config, or its fast sibling, at the size asked for."""
    config = Config.fromfile(ROOT / f'configs/detco_r50_8xb32{"_fast" if bf16 else ""}.py')
    config.model.backbone.depth = args.depth
    config.model.neck.in_channels = WIDTHS[args.depth]
    config.model.queue_len = args.queue_len
    config.model.compile_backbone = bf16 and args.compile
    return config


def build(config: Config, args: Any) -> DetCo:
    """Return the model on the device."""
    return MODELS.build(config.model).to(args.device).train()


def views(args: Any) -> dict[str, list[Tensor]]:
    """Return a batch as the data workers send it."""
    torch.manual_seed(0)
    patch = round(args.size * 64 / 224)
    shapes = [(3, args.size, args.size)] * 2 + [(9, 3, patch, patch)] * 2
    return dict(inputs=[torch.randint(0, 256, (args.batch_size, *shape), dtype=torch.uint8) for shape in shapes])


def detco(args: Any, data: dict, bf16: bool) -> tuple[DetCo, Callable[[], Any]]:
    """The model and a step as the Runner takes it."""
    config = read(args, bf16)
    model = build(config, args)
    return model, partial(model.train_step, data, build_optim_wrapper(model, config.optim_wrapper))


def reference(args: Any, data: dict) -> Callable[[], Any]:
    """A step written plainly, on the same encoders with the reference's local projection."""
    config = read(args, bf16=False)
    config.model.neck.local_projection = 'joint'
    model = build(config, args)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
    head, rows = model.head, len(model.head.stages)

    def encode(encoder: Any, inputs: list[Tensor]) -> dict[str, Tensor]:
        images, patches = inputs
        return {
            'global': encoder.neck(encoder.backbone(images), 'global'),
            'local': encoder.neck(encoder.backbone(patches.flatten(0, 1)), 'local'),
        }

    def step() -> None:
        inputs = model.data_preprocessor(data, True)['inputs']
        queries = encode(model, inputs[0::2])
        with torch.no_grad():
            query_weights = [*model.backbone.parameters(), *model.neck.parameters()]
            key_weights = [*model.key_encoder.backbone.parameters(), *model.key_encoder.neck.parameters()]
            for own, query in zip(key_weights, query_weights, strict=True):
                own.data = own.data * 0.999 + query.data * (1 - 0.999)
            keys = encode(model.key_encoder, inputs[1::2])
        negatives = {'global': model.queue.keys[:rows], 'local': model.queue.keys[rows:]}
        loss = plain(head, queries, keys, negatives)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.queue.enqueue(torch.cat([keys['global'], keys['local']]))

    return step


def floor(model: DetCo, args: Any, data: dict, bf16: bool) -> Callable[[], Any]:
    """The work of a model's backbones in a step."""

    def step() -> None:
        inputs = [view.flatten(0, -4) for view in model.data_preprocessor(data, True)['inputs']]
        with torch.autocast(args.device, torch.bfloat16) if bf16 else nullcontext():
            torch.stack([stage.mean() for view in inputs[0::2] for stage in model.backbone(view)]).sum().backward()
            with torch.no_grad():
                for view in inputs[1::2]:
                    model.key_encoder.backbone(view)
        model.zero_grad()

    return step


def fitting(makers: dict[str, Callable[[], Callable[[], Any]]]) -> dict[str, Callable[[], Any]]:
    """Make each side and run it once, which compiles it, too; leave out what does not fit the memory."""
    sides = {}
    for name, make in makers.items():
        try:
            side = make()
            side()
            sides[name] = side
        except torch.OutOfMemoryError:
            print(f'{name}: does not fit the memory', file=sys.stderr)
            side = None
            torch.cuda.empty_cache()
    return sides


def state_bytes(args: Any) -> dict[str, int]:
    """Bytes of weights, gradients, momentum and queues in float32, by local projection."""
    config = Config.fromfile(ROOT / 'configs/detco_r50_8xb32.py').model
    backbone = sum(p.numel() for p in MODELS.build({**config.backbone, 'depth': args.depth}).parameters())
    found = {}
    for projection in PROJECTIONS:
        with torch.device('meta'):
            neck = MODELS.build({**config.neck, 'in_channels': WIDTHS[args.depth], 'local_projection': projection})
        encoder = backbone + sum(p.numel() for p in neck.parameters())
        # query encoder, its gradient and momentum, key encoder; eight queues of 128 dimensions
        found[projection] = 4 * (4 * encoder + 8 * 128 * args.queue_len)
    return found


def sizes(flags: argparse.ArgumentParser) -> None:
    """Add what says how large a step is and where it runs."""
    flags.add_argument('--batch-size', type=int, default=8, help='default: %(default)s')
    flags.add_argument('--queue-len', type=int, default=65536, help='default: %(default)s')
    flags.add_argument('--depth', type=int, choices=sorted(WIDTHS), default=50, help='default: %(default)s')
    flags.add_argument('--size', type=int, default=224, help='side of a global view; default: %(default)s')
    flags.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='default: %(default)s')
    flags.add_argument('--compile', action='store_true', help='compile the backbones of the bf16 sides')


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=3)
    sizes(flags)
    flags.add_argument('--no-plain', action='store_true', help='leave the plain step out, which is slow and large')
    args = flags.parse_args()
    init_default_scope('mmselfsup')
    torch.backends.cudnn.benchmark = True  # as in a run
    data, makers = views(args), {}
    for bf16 in (False, True):
        name = 'bf16' if bf16 else 'float32'
        model, step = detco(args, data, bf16)
        makers[f'floor, {name}'] = partial(floor, model, args, data, bf16)
        makers[f'DetCo, {name}'] = lambda step=step: step
    if not args.no_plain:
        makers['plain, float32'] = partial(reference, args, data)
    sides = fitting(makers)
    done = torch.accelerator.synchronize if args.device != 'cpu' else lambda: None
    seconds = interleaved(sides, args.repeats, done=done)
    table, figures = [['step', 'seconds', 'images/s', 'over its floor', 'against plain']], {}
    for name, times in seconds.items():
        middle = statistics.median(times)
        base, plainly = seconds.get('floor, ' + name.split(', ')[1]), seconds.get('plain, float32')
        over = ratio(times, base) - 1 if base else None
        gain = ratio(plainly, times) if plainly else None
        figures[name] = dict(seconds=times, images_per_second=args.batch_size / middle, over_floor=over, gain=gain)
        shown = '' if over is None or name.startswith('floor') else f'{100 * over:+.0f} %'
        gained = '' if gain is None else f'{gain:.1f}x'
        table.append([name, f'{middle:.3f}', f'{args.batch_size / middle:.1f}', shown, gained])
    state = state_bytes(args)
    held = ', '.join(f'{name} {size / 2**30:.2f} GiB' for name, size in state.items())
    about = f'ResNet-{args.depth}, batch {args.batch_size}, {args.size} pixels, K = {args.queue_len}, {args.device}'
    about += ', bf16 compiled' if args.compile else ''
    title = f'{about}; training state: {held}'
    report(title, table, dict(sides=figures, state_bytes=state), args.json)


if __name__ == '__main__':
    main()
