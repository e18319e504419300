"""Shuffling BN among ranks: all-to-all against MMSelfSup's gathering of every image on every rank.

    python tools/benchmarks/shuffle.py [--ranks 2 4 8] [--batch-size 32] [--json FILE]

Gloo processes on this machine exchange their key views, 3 x 224 x 224 floats an image. Bytes are those that a rank
receives from others, counted at the collectives; both sides draw the same permutation and must end with the same
images. The gradient's bytes, which a step all-reduces, are those of ResNet-50 and each local projection.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as torch_dist
import torch.multiprocessing as mp
from _harness import interleaved, parser, ratio, report
from mmengine.config import Config
from mmengine.registry import init_default_scope

from detco_mm.models.shuffle_bn import Shuffle
from detco_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]


def ours(images: torch.Tensor) -> torch.Tensor:
    """Each rank receives the images that it will encode."""
    permutation = torch.randperm(len(images) * torch_dist.get_world_size()).numpy()  # as the other side draws it
    return Shuffle(permutation, images.device).there([images])[0]


def theirs(images: torch.Tensor) -> torch.Tensor:
    """Each rank receives all images and keeps its share."""
    from mmselfsup.utils import batch_shuffle_ddp

    return batch_shuffle_ddp(images)[0]


def measure(rank: int, world: int, folder: str, batch_size: int, repeats: int) -> None:
    """What one rank does; rank 0 writes down what it saw."""
    torch.set_num_threads(1)
    torch_dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world)
    received = _count_bytes(rank)
    images = torch.randn(batch_size, 3, 224, 224, generator=torch.Generator().manual_seed(rank))
    results, counted = {}, {}
    for name, side in (('ours', ours), ('theirs', theirs)):
        torch.manual_seed(0)
        received[:] = [0]
        results[name], counted[name] = side(images), received[0]
    equal = torch.tensor(int(torch.equal(results['ours'], results['theirs'])))
    torch_dist.all_reduce(equal, op=torch_dist.ReduceOp.MIN)
    sides = {name: (lambda side=side: side(images)) for name, side in (('ours', ours), ('theirs', theirs))}
    seconds = interleaved(sides, repeats, done=torch_dist.barrier)
    if rank == 0:
        torch.save(dict(seconds=seconds, bytes=counted, equal=bool(equal)), f'{folder}/result.pt')
    torch_dist.destroy_process_group()


def _count_bytes(rank: int) -> list[int]:
    """Have the two collectives count what comes from other ranks; returns the cell that they count in."""
    received = [0]
    all_to_all, all_gather = torch_dist.all_to_all_single, torch_dist.all_gather

    def counting_all_to_all(output, *args: Any, **kwargs: Any):
        rows = kwargs['output_split_sizes']
        received[0] += (sum(rows) - rows[rank]) * output[0].numel() * output.element_size()
        return all_to_all(output, *args, **kwargs)

    def counting_all_gather(outputs, *args: Any, **kwargs: Any):
        received[0] += sum(out.numel() * out.element_size() for at, out in enumerate(outputs) if at != rank)
        return all_gather(outputs, *args, **kwargs)

    torch_dist.all_to_all_single, torch_dist.all_gather = counting_all_to_all, counting_all_gather
    return received


def gradient_bytes() -> dict[str, int]:
    """Bytes of float32 gradient of one step, by local projection."""
    init_default_scope('mmselfsup')
    found = {}
    for kind in ('compact', 'joint', 'per_patch'):
        config = Config.fromfile(ROOT / 'configs/detco_r50_8xb32.py').model
        parts = [MODELS.build(config.backbone)]
        with torch.device('meta'):  # the joint projection alone has 1.8 GB of weights
            parts.append(MODELS.build({**config.neck, 'local_projection': kind}))
        found[kind] = sum(4 * weight.numel() for part in parts for weight in part.parameters())
    return found


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=7)
    flags.add_argument('--ranks', type=int, nargs='+', default=[2, 4, 8], help='default: %(default)s')
    flags.add_argument('--batch-size', type=int, default=32, help='images of a rank; default: %(default)s')
    args = flags.parse_args()
    table = [['ranks', 'all-to-all', 'gathering', 'times fewer', 'all-to-all', 'gathering', 'times faster', 'equal']]
    figures = []
    for world in args.ranks:
        with tempfile.TemporaryDirectory() as folder:
            ranks = (world, folder, args.batch_size, args.repeats)
            mp.start_processes(measure, args=ranks, nprocs=world, start_method='fork')  # with the stack imported
            found = torch.load(Path(folder) / 'result.pt')
        fewer = found['bytes']['theirs'] / found['bytes']['ours']
        faster = ratio(found['seconds']['theirs'], found['seconds']['ours'])
        milliseconds = {name: 1000 * statistics.median(times) for name, times in found['seconds'].items()}
        table.append([
            str(world),
            *(f'{found["bytes"][name] / 2**20:.1f} MiB' for name in ('ours', 'theirs')),
            f'{fewer:.1f}x',
            *(f'{milliseconds[name]:.0f} ms' for name in ('ours', 'theirs')),
            f'{faster:.1f}x',
            'yes' if found['equal'] else 'NO',
        ])  # fmt: skip
        figures.append(dict(ranks=world, fewer_bytes=fewer, faster=faster, **found))
    gradients = gradient_bytes()
    reduced = ', '.join(f'{kind} {size / 2**20:.0f} MiB' for kind, size in gradients.items())
    title = f'Shuffling {args.batch_size} key views of 224 pixels a rank; gradients all-reduced in a step: {reduced}'
    report(title, table, dict(sides=figures, gradient_bytes=gradients), args.json)


if __name__ == '__main__':
    main()
