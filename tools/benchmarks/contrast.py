"""The contrast, forward and backward: DetCoHead's streaming pass against the plain formulation.

    python tools/benchmarks/contrast.py [--batch-sizes 32 128] [--queue-len 65536] [--device cpu|cuda] [--json FILE]

Four stages and three pairs, twelve terms. Plain is as in MoCo's code: for each term the positive and all negatives, of
a copy of the queue, in one matrix of logits, cross-entropy, autograd. The extra memory is what a process holds at most
during one step beyond what it held before: resident memory of a process of its own on the CPU, PyTorch's count on CUDA.
"""

import multiprocessing
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from _harness import interleaved, parser, ratio, report
from torch import Tensor

from detco_mm.models.head import PAIRS, DetCoHead
from detco_mm.models.neck import SCOPES

DIM = 128
Vectors = dict[str, Tensor]


def plain(head: DetCoHead, queries: Vectors, keys: Vectors, negatives: Vectors) -> Tensor:
    """Twelve cross-entropies, one after the other."""
    total = torch.zeros((), device=queries['global'].device)
    for pair in head.pairs:
        query_scope, key_scope = PAIRS[pair]
        for index, weight in enumerate(head.stage_weights.values()):
            query = queries[query_scope][index]
            positive = (query * keys[key_scope][index]).sum(1, keepdim=True)
            logits = torch.cat([positive, query @ negatives[key_scope][index].clone().T], dim=1) / head.temperature
            labels = torch.zeros(len(query), dtype=torch.long, device=query.device)
            total = total + weight * F.cross_entropy(logits, labels)
            (logits.argmax(1) == 0).float().mean()  # the accuracy that the head gives, too
    return total


def streaming(head: DetCoHead, queries: Vectors, keys: Vectors, negatives: Vectors) -> Tensor:
    """What a training step does."""
    return sum(
        (loss for name, loss in head(queries, keys, negatives).items() if name.startswith('loss')), torch.zeros(())
    )


def step(side: Callable[..., Tensor], head: DetCoHead, queries: Vectors, keys: Vectors, negatives: Vectors) -> Tensor:
    """Forward and backward; returns the loss and leaves the gradients at the queries."""
    for query in queries.values():
        query.grad = None
    loss = side(head, queries, keys, negatives)
    loss.backward()
    return loss.detach()


def inputs(batch_size: int, length: int, device: str) -> tuple[Vectors, Vectors, Vectors]:
    """Random unit vectors: queries, keys and queues of both scopes, four stages each."""
    torch.manual_seed(0)

    def unit(count: int) -> Vectors:
        return {scope: F.normalize(torch.randn(4, count, DIM, device=device), dim=2) for scope in SCOPES}

    queries = {scope: query.requires_grad_() for scope, query in unit(batch_size).items()}
    return queries, unit(batch_size), unit(length)


def deviation(head: DetCoHead, made: tuple[Vectors, Vectors, Vectors]) -> float:
    """Largest relative difference of loss and gradients between the two sides."""
    results = []
    for side in (plain, streaming):
        loss = step(side, head, *made)
        results.append([loss, *(query.grad for query in made[0].values())])
    return max(
        float((ours.cpu() - theirs.cpu()).abs().max() / theirs.abs().max().cpu())
        for theirs, ours in zip(*results, strict=True)
    )


def peak(side: Callable[..., Tensor], batch_size: int, length: int, device: str) -> int:
    """Bytes that one step needs at most."""
    if device != 'cpu':
        made = inputs(batch_size, length, device)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step(side, DetCoHead(), *made)
        return torch.cuda.max_memory_allocated() - before
    # A process of its own, for memory that was freed stays with a process. PyTorch has not started threads here yet.
    with multiprocessing.get_context('fork').Pool(1) as pool:
        return pool.apply(_resident_peak, (side, batch_size, length))


def _resident_peak(side: Callable[..., Tensor], batch_size: int, length: int) -> int:
    # A tiny step first: what libraries take once is not the step's.
    step(side, DetCoHead(), *inputs(2, 64, 'cpu'))
    made = inputs(batch_size, length, 'cpu')
    Path('/proc/self/clear_refs').write_text('5')  # Linux: the peak starts anew, see proc(5)
    before = _status('VmRSS')
    step(side, DetCoHead(), *made)
    return _status('VmHWM') - before


def _status(name: str) -> int:
    found = re.search(rf'{name}:\s+(\d+) kB', Path('/proc/self/status').read_text())
    assert found, name
    return 1024 * int(found[1])


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=5)
    flags.add_argument('--batch-sizes', type=int, nargs='+', default=[32, 128], help='default: %(default)s')
    flags.add_argument('--queue-len', type=int, default=65536, help='default: %(default)s')
    flags.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='default: %(default)s')
    args = flags.parse_args()
    done = torch.accelerator.synchronize if args.device != 'cpu' else lambda: None
    table = [['N', 'plain', 'streaming', 'times faster', 'plain, extra', 'streaming, extra', 'of it', 'deviation']]
    figures = []
    sides = {'plain': plain, 'streaming': streaming}
    peaks = {
        batch_size: {name: peak(side, batch_size, args.queue_len, args.device) for name, side in sides.items()}
        for batch_size in args.batch_sizes
    }
    for batch_size in args.batch_sizes:
        head = DetCoHead()
        made = inputs(batch_size, args.queue_len, args.device)
        seconds = interleaved(
            {name: partial(step, side, head, *made) for name, side in sides.items()}, args.repeats, done=done
        )
        off = deviation(head, made)
        extra = peaks[batch_size]
        gain = ratio(seconds['plain'], seconds['streaming'])
        milliseconds = {name: 1000 * sorted(times)[len(times) // 2] for name, times in seconds.items()}
        table.append([
            str(batch_size),
            *(f'{milliseconds[name]:.1f} ms' for name in sides),
            f'{gain:.1f}x',
            *(f'{extra[name] / 2**20:.1f} MiB' for name in sides),
            f'1/{extra["plain"] / max(extra["streaming"], 1):.0f}',
            f'{off:.0e}',
        ])  # fmt: skip
        figures.append(
            dict(batch_size=batch_size, ratio=gain, seconds=seconds, extra_bytes=extra, relative_deviation=off)
        )
    title = f'Contrast, K = {args.queue_len}, D = {DIM}, four stages, three pairs, {args.device}'
    report(title, table, dict(queue_len=args.queue_len, sides=figures), args.json)


if __name__ == '__main__':
    main()
