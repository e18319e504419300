"""Products with matrices of few rows on a CPU: oneDNN, as this project asks for it, against PyTorch's own choice.

    python tools/benchmarks/products.py [--batch-sizes 8 32 128] [--repeats 9] [--json FILE]

Those of the contrast, with a queue of 65536 keys in the chunks that it takes, and those of the projections of a local
view of ResNet-50: forward, gradient of the inputs, gradient of the weights.
"""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from _harness import interleaved, parser, ratio, report
from torch import Tensor

from detco_mm.engine.memory import keep_freed_memory
from detco_mm.models.info_nce import CHUNK
from detco_mm.models.products import times_transposed

LAYERS = ((2304, 256), (4608, 512), (9216, 1024), (18432, 2048))  # inputs, outputs: res2 to res5 of nine patches


def plain(left: Tensor, right: Tensor) -> Tensor:
    """What PyTorch does of itself."""
    return left @ right.T


def operands(batch: int) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Left and right sides of the products, by what they are for."""
    query, queue = torch.randn(batch, 128), torch.randn(65536, 128)
    weights = [torch.randn(outputs, inputs) for inputs, outputs in LAYERS]
    pooled = [torch.randn(batch, inputs) for inputs, _ in LAYERS]
    gradients = [torch.randn(batch, outputs) for _, outputs in LAYERS]
    return {
        'logits': [(query, keys) for keys in queue.split(CHUNK)],
        'weighted keys': [(torch.rand(batch, len(keys)), keys.T) for keys in queue.split(CHUNK)],
        'projections': list(zip(pooled, weights, strict=True)),
        'gradient of their inputs': [(grad, weight.T) for grad, weight in zip(gradients, weights, strict=True)],
        'gradient of their weights': [(grad.T, inputs.T) for grad, inputs in zip(gradients, pooled, strict=True)],
    }


def main() -> None:
    """Measure, print, write."""
    flags = parser(__doc__, repeats=9)
    flags.add_argument('--batch-sizes', type=int, nargs='+', default=[8, 32, 128], help='default: 8 32 128')
    args = flags.parse_args()
    keep_freed_memory()  # as tools/train.py does; page faults would be the larger part
    table: list[list[str]] = [['N', 'product', 'PyTorch, ms', 'oneDNN, ms', 'times faster', 'oneDNN, Gflop/s']]
    sides: list[dict[str, Any]] = []
    for batch in args.batch_sizes:
        for name, pairs in operands(batch).items():

            def all_of(product: Callable[[Tensor, Tensor], Tensor], pairs: list = pairs) -> Callable[[], list[Tensor]]:
                return lambda: [product(left, right) for left, right in pairs]

            seconds = interleaved({'PyTorch': all_of(plain), 'oneDNN': all_of(times_transposed)}, args.repeats)
            slower, faster = (statistics.median(took) for took in seconds.values())
            operations = sum(2 * left.numel() * len(right) for left, right in pairs)
            gain = ratio(*seconds.values())
            row = [f'{1000 * slower:.2f}', f'{1000 * faster:.2f}', f'{gain:.1f}x', f'{operations / faster / 1e9:.0f}']
            table.append([str(batch), name, *row])
            sides.append(dict(batch_size=batch, product=name, operations=operations, ratio=gain, seconds=seconds))
    report('Products of float32 on a CPU', table, dict(sides=sides), args.json)


if __name__ == '__main__':
    main()
