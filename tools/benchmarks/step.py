"""One training step: this project's against a plainly written one and against the bare backbone.

    python tools/benchmarks/step.py [--batch-size 8] [--depth 50] [--size 224] [--device cpu|cuda] [--json FILE]

DetCo is the paper's config, from uint8 views to updated weights, in float32 and in bf16 with channels last. Plain is
the step as the unofficial implementation writes it: its projection of nine concatenated patches, twelve cross-entropies
over copies of the queue, a moving average weight by weight. The floor is what no implementation can avoid: forward and
backward of the backbone on the query views, forward on the key views. What DetCo takes beyond the floor of its own
precision is what is ours. The training state is both encoders, gradients, SGD's momentum and queues.
"""

import statistics
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
from torch import Tensor, nn

from detco_mm.models.detco import DetCo
from detco_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
PROJECTIONS = ('compact', 'per_patch', 'joint')
WIDTHS = {18: (64, 128, 256, 512), 50: (256, 512, 1024, 2048)}


def build(args: Any, projection: str = 'compact', channels_last: bool = False) -> DetCo:
    """Return the paper's model on the device."""
    config = Config.fromfile(ROOT / 'configs/detco_r50_8xb32.py').model
    config.backbone.depth = args.depth
    config.neck.update(in_channels=WIDTHS[args.depth], local_projection=projection)
    config.queue_len = args.queue_len
    config.data_preprocessor.channels_last = channels_last
    model = MODELS.build(config)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return model.to(args.device, memory_format=layout).train()


def views(args: Any) -> dict[str, list[Tensor]]:
    """Return a batch as the data workers send it."""
    torch.manual_seed(0)
    patch = round(args.size * 64 / 224)
    shapes = [(3, args.size, args.size)] * 2 + [(9, 3, patch, patch)] * 2
    return dict(inputs=[torch.randint(0, 256, (args.batch_size, *shape), dtype=torch.uint8) for shape in shapes])


def detco(args: Any, data: dict, bf16: bool) -> Callable[[], Any]:
    """A step as the Runner takes it."""
    model = build(args, channels_last=bf16)
    wrapper = Config.fromfile(ROOT / 'configs/detco_r50_8xb32.py').optim_wrapper
    if bf16:
        wrapper.type = 'detco_mm.BFloat16OptimWrapper'
    return partial(model.train_step, data, build_optim_wrapper(model, wrapper))


def reference(args: Any, data: dict) -> Callable[[], Any]:
    """A step written plainly, on the same encoders with the reference's local projection."""
    model = build(args, projection='joint')
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


def floor(args: Any, data: dict, bf16: bool) -> Callable[[], Any]:
    """The backbone's own work in a step."""
    model = build(args, channels_last=bf16)
    model.queue = nn.Identity()  # its memory is not used here

    def step() -> None:
        inputs = [view.flatten(0, -4) for view in model.data_preprocessor(data, True)['inputs']]
        with torch.autocast(args.device, torch.bfloat16) if bf16 else nullcontext():
            model.zero_grad()
            torch.stack([stage.mean() for view in inputs[0::2] for stage in model.backbone(view)]).sum().backward()
            with torch.no_grad():
                for view in inputs[1::2]:
                    model.key_encoder.backbone(view)

    return step


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


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=3)
    flags.add_argument('--batch-size', type=int, default=8, help='default: %(default)s')
    flags.add_argument('--queue-len', type=int, default=65536, help='default: %(default)s')
    flags.add_argument('--depth', type=int, choices=sorted(WIDTHS), default=50, help='default: %(default)s')
    flags.add_argument('--size', type=int, default=224, help='side of a global view; default: %(default)s')
    flags.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='default: %(default)s')
    flags.add_argument('--no-plain', action='store_true', help='leave the plain step out, which is slow and large')
    args = flags.parse_args()
    init_default_scope('mmselfsup')
    data = views(args)
    sides = {
        'floor, float32': floor(args, data, bf16=False),
        'DetCo, float32': detco(args, data, bf16=False),
        'floor, bf16': floor(args, data, bf16=True),
        'DetCo, bf16': detco(args, data, bf16=True),
    }
    if not args.no_plain:
        sides['plain, float32'] = reference(args, data)
    done = torch.cuda.synchronize if args.device != 'cpu' else lambda: None
    seconds = interleaved(sides, args.repeats, done=done)
    table, figures = [['step', 'seconds', 'images/s', 'over its floor', 'against plain']], {}
    for name, times in seconds.items():
        middle = statistics.median(times)
        base = seconds['floor, ' + name.split(', ')[1]]
        over = ratio(times, base) - 1
        gain = ratio(seconds['plain, float32'], times) if not args.no_plain else float('nan')
        figures[name] = dict(seconds=times, images_per_second=args.batch_size / middle, over_floor=over, gain=gain)
        shown = '' if name.startswith('floor') else f'{100 * over:+.0f} %'
        table.append([name, f'{middle:.3f}', f'{args.batch_size / middle:.1f}', shown, f'{gain:.1f}x'])
    state = state_bytes(args)
    held = ', '.join(f'{name} {size / 2**30:.2f} GiB' for name, size in state.items())
    sizes = f'ResNet-{args.depth}, batch {args.batch_size}, {args.size} pixels, K = {args.queue_len}, {args.device}'
    title = f'{sizes}; training state: {held}'
    report(title, table, dict(sides=figures, state_bytes=state), args.json)


if __name__ == '__main__':
    main()
