"""What a step asks of a device: nothing that only CUDA has."""

import contextlib
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
from detco_mm.engine.hooks import StopOnNonFinite
from detco_mm.registry import MODELS
from tests.devices import needs_gpu
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


def narrow(options):
    """A model of a few channels, its optimizer and a batch."""
    init_default_scope('mmselfsup')
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.merge_from_dict(
        {
            'model.queue_len': 8,
            'model.backbone.stem_channels': 8,
            'model.backbone.base_channels': 8,
            'model.neck.in_channels': (8, 16, 32, 64),
            **options,
        }
    )
    model = MODELS.build(cfg.model).train()
    views = [torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8) for _ in range(2)]
    views += [torch.randint(0, 256, (4, 9, 3, 24, 24), dtype=torch.uint8) for _ in range(2)]
    return model, cfg.optim_wrapper, dict(inputs=views)


@pytest.mark.parametrize('wrapper', ['OptimWrapper', 'detco_mm.BFloat16OptimWrapper'])
@pytest.mark.parametrize('colour', [None, {}], ids=['', 'colour'])
def test_a_step_makes_no_float64(wrapper, colour):
    model, optimizer, data = narrow({'model.data_preprocessor.colour': colour, 'optim_wrapper.type': wrapper})
    step = build_optim_wrapper(model, optimizer)
    with NoDoubles():
        with pytest.raises(TypeError, match='makes float64'):
            torch.ones(1, dtype=torch.float64)
        losses = model.train_step(data, step)
    assert all(loss.isfinite().all() for name, loss in losses.items() if name.startswith('loss'))


def test_a_step_reads_no_number_of_its_device():
    # Tensors on meta have no numbers: what reads one fails. MMEngine reads the losses after the step, for its log.
    for read in (torch.Tensor.item, torch.Tensor.cpu, torch.Tensor.tolist, bool, torch.nonzero):
        with pytest.raises((RuntimeError, NotImplementedError)):
            read(torch.zeros((), device='meta'))
    model, optimizer, data = narrow({'model.bn_splits': 2, 'optim_wrapper.optimizer.fused': False})
    model.to('meta')
    losses = model.train_step(data, build_optim_wrapper(model, optimizer))
    assert {loss.device.type for loss in losses.values()} == {'meta'}


@contextlib.contextmanager
def no_waiting():
    """Refuse whatever has the host wait for a GPU."""
    torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode('default')


@needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize('half', [False, True])
def test_the_host_waits_for_a_gpu_nowhere_within_a_step(half):
    model, optimizer, data = narrow({'model.bn_splits': 2})
    model.cuda()
    step = build_optim_wrapper(model, optimizer)
    data['inputs'] = [view.pin_memory() for view in data['inputs']]
    with torch.autocast('cuda', torch.bfloat16, enabled=half):
        model.train_step(data, step)  # cuDNN chooses, and memory is asked for, in the first
        with no_waiting():
            losses = model.train_step(data, step)
    assert all(loss.isfinite().all() for name, loss in losses.items() if name.startswith('loss'))


def test_whether_gradients_are_finite_is_told_to_a_fused_optimizer_without_a_read():
    weight = torch.nn.Parameter(torch.zeros(2, device='meta'))
    weight.grad = torch.zeros_like(weight)
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    optimizer.param_groups[0]['fused'] = True
    hook = StopOnNonFinite()
    with pytest.raises(RuntimeError):  # at the first step, which has no momentum yet, it is read
        hook._before_step(None, optimizer, (), {})
    optimizer.state[weight]['momentum_buffer'] = torch.zeros_like(weight)
    hook._before_step(None, optimizer, (), {})
    assert optimizer.found_inf.device.type == 'meta'
    hook._after_step(optimizer, (), {})
    assert not hasattr(optimizer, 'found_inf')


def test_the_device_is_the_one_that_mmengine_finds():
    switches = re.compile(r"\.cuda\(\)|'cuda' if ")
    found = [f'{path}: {line}' for path in SOURCES for line in path.read_text().splitlines() if switches.search(line)]
    assert found == []
