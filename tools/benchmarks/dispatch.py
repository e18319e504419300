"""How many operations a step asks a device for, part by part, counted without one.

    python tools/benchmarks/dispatch.py [CONFIG] [--batch-sizes 32 64] [--cfg-options NAME=VALUE ...] [--json FILE]

A fake CUDA device computes shapes and no numbers, so that any config is counted in seconds on any machine. Counted is
what PyTorch dispatches, views and prim.* left out, which launch nothing: about one launch each, and more for the one
operation that moves all weights. The step is a single process's from uint8 views to the loss: the backward pass would
ask for the threads of a real device. What the backbones ask for is the network's own affair and counted apart.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from _harness import parser, report
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from parts import watch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from detco_mm.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
REST = 'losses, other'


class Count(TorchDispatchMode):
    """Count what is dispatched, by the innermost part that is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self._under_way = [REST]

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count for a part."""
        self._under_way.append(name)
        try:
            yield
        finally:
            self._under_way.pop()

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Count one operation and let it go on."""
        if not operation.is_view and operation.namespace not in ('prim', 'prims'):
            self.found[self._under_way[-1]] += 1
        return operation(*args, **(kwargs or {}))


class Scalars(TorchFunctionMode):
    """Keep on the CPU what networks read as they are built: rates of their layers."""

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Call a function."""
        return function(*args, **(dict(kwargs or {}, device='cpu') if function is torch.linspace else kwargs or {}))


def batch(config: Config, images: int) -> dict[str, list[Tensor]]:
    """Return uint8 views of the config's sizes, as the data workers send them."""
    steps = {step.type.rpartition('.')[2]: step for step in config.train_dataloader.dataset.pipeline}
    side = steps['DetCoViews'].get('global_size', 224)
    patch, patches = steps['JigsawPatches'].get('patch_size', 64), steps['JigsawPatches'].get('grid', 3) ** 2
    channels = len(config.model.data_preprocessor.mean)
    shapes = [(channels, side, side)] * 2 + [(patches, channels, patch, patch)] * 2
    return dict(inputs=[torch.zeros((images, *shape), dtype=torch.uint8) for shape in shapes])


def count(config: Config, images: int, device: str = 'cuda') -> Counter[str]:
    """Return the number of operations of the step of N images, by part."""
    with torch.device('meta'), Scalars():
        model = MODELS.build(config.model).train()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device=device)
        model.data_preprocessor.to(device)
        counting = Count()
        watch(model, counting.part)
        data = batch(config, images)
        with counting:
            inputs = model.data_preprocessor(data, True)['inputs']
            model.parse_losses(model.loss(inputs))
    return counting.found


def table(found: dict[int, Counter[str]]) -> list[list[str]]:
    """Return one row a part and one column a batch size."""
    largest = {part: max(counted[part] for counted in found.values()) for part in set().union(*found.values())}
    parts = sorted(largest, key=lambda part: (-largest[part], part))
    backbones = [part for part in parts if part.startswith('backbone')]
    rows = [['operations', *(f'N = {images}' for images in found)]]
    ours = [part for part in parts if part not in backbones]
    rows += [[part, *(str(counted[part]) for counted in found.values())] for part in ours]
    rows.append(['outside the backbones', *(str(sum(counted[p] for p in ours)) for counted in found.values())])
    return rows + [[part, *(str(counted[part]) for counted in found.values())] for part in backbones]


def main() -> None:
    """Count, print, write."""
    flags = parser(__doc__, repeats=1)
    flags.add_argument('config', nargs='?', type=Path, default=ROOT / 'configs/detco_r50_8xb32.py')
    flags.add_argument('--batch-sizes', type=int, nargs='+', default=[32, 64, 128, 256], help='default: %(default)s')
    flags.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, help='what to change in the config')
    args = flags.parse_args()
    init_default_scope('mmselfsup')
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options)
    found = {images: count(config, images) for images in args.batch_sizes}
    outside = {
        images: sum(number for part, number in counted.items() if not part.startswith('backbone'))
        for images, counted in found.items()
    }
    title = f'Operations dispatched in a forward step of {args.config.name}, K = {config.model.queue_len}'
    report(title, table(found), dict(operations=found, outside_backbones=outside), args.json)


if __name__ == '__main__':
    main()
