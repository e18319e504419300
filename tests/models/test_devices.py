"""What a step asks of a device: nothing that only CUDA has."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import detco_mm
from detco_mm.registry import MODELS
from tests.integration.small_run import CONFIG, ROOT

SOURCES = [*Path(detco_mm.__file__).parent.rglob('*.py'), *(ROOT / 'tools').glob('*.py')]


class NoDoubles(TorchDispatchMode):
    """Refuse what Apple's GPUs refuse: numbers of 64 bits that are not whole."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                raise TypeError(f'{operation} makes float64')
        return result


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'detco_mm.BFloat16OptimWrapper'])
@pytest.mark.parametrize('colour', [None, {}], ids=['', 'colour'])
def test_a_step_makes_no_float64(wrapper, colour):
    init_default_scope('mmselfsup')
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.merge_from_dict(
        {
            'model.queue_len': 8,
            'model.backbone.stem_channels': 8,
            'model.backbone.base_channels': 8,
            'model.neck.in_channels': (8, 16, 32, 64),
            'model.data_preprocessor.colour': colour,
            'optim_wrapper.type': wrapper,
        }
    )
    model = MODELS.build(cfg.model).train()
    views = [torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8) for _ in range(2)]
    views += [torch.randint(0, 256, (4, 9, 3, 24, 24), dtype=torch.uint8) for _ in range(2)]
    step = build_optim_wrapper(model, cfg.optim_wrapper)
    with NoDoubles():
        with pytest.raises(TypeError, match='makes float64'):
            torch.ones(1, dtype=torch.float64)
        losses = model.train_step(dict(inputs=views), step)
    assert all(loss.isfinite().all() for name, loss in losses.items() if name.startswith('loss'))


def test_the_device_is_the_one_that_mmengine_finds():
    switches = re.compile(r"\.cuda\(\)|'cuda' if ")
    found = [f'{path}: {line}' for path in SOURCES for line in path.read_text().splitlines() if switches.search(line)]
    assert found == []
