"""Each switch that makes a run fast leaves its losses and its checkpoints what they are."""

import pytest
import torch

from detco_mm.weights import export_backbone, read_backbone
from tests.devices import needs_gpu
from tests.integration.small_run import CONFIG, command, photographs, start
from tests.integration.test_resume import losses

CHANNELS_LAST = 'model.data_preprocessor.channels_last=True'
BF16 = 'optim_wrapper.type=detco_mm.BFloat16OptimWrapper'
# The paper's optimizer, in float32. BN over many values and a low rate, for rounding grows from step to step.
PLAIN = [
    'optim_wrapper.type=OptimWrapper',
    'optim_wrapper.optimizer.type=SGD',
    'optim_wrapper.optimizer.momentum=0.9',
    'optim_wrapper.optimizer.fused=True',
    'optim_wrapper.optimizer.lr=0.001',
    'param_scheduler.0.start_factor=1.0',
    'train_dataloader.batch_size=12',
    'model.queue_len=64',
    'train_dataloader.dataset.pipeline.0.global_size=64',
]


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 36)


def train(images, work_dir, *options, flags=(), tool='tools/train.py', processes=(), **environment):
    options = [*PLAIN, f'data.root={images}', *options]
    line = command(tool, CONFIG, *processes, '--work-dir', work_dir, *flags, options=options)
    log = work_dir.parent / f'{work_dir.name}.log'
    assert start(line, log, **environment).wait(500) == 0, log.read_text()[-5000:]
    state = torch.load(work_dir / 'epoch_3.pth', weights_only=True)['state_dict']
    return {step: row['loss'] for step, row in losses(work_dir).items()}, state


@pytest.fixture(scope='module')
def plain(images, tmp_path_factory):
    """Losses and end of a run without any of them, 3 epochs of 3 steps."""
    return train(images, tmp_path_factory.mktemp('plain') / 'run')


def check(found, plain, folder, tolerance, differs=()):
    """The first loss may differ by `tolerance` of itself; the later ones by 5 %, to which it grows."""
    (got, state), (wanted, expected) = found, plain
    assert got[1] == pytest.approx(wanted[1], rel=tolerance)
    assert got == pytest.approx(wanted, rel=0.05) and len(got) == 9
    assert {name: (t.shape, t.dtype) for name, t in state.items() if name not in differs} == {
        name: (t.shape, t.dtype) for name, t in expected.items() if name not in differs
    }
    export_backbone(folder / 'epoch_3.pth', folder / 'exported.pth')
    exported = read_backbone(folder / 'exported.pth')
    assert 'layer4.1.bn2.running_var' in exported
    assert all(torch.equal(tensor, state[f'backbone.{name}']) for name, tensor in exported.items())


@pytest.mark.gpu
@pytest.mark.parametrize(
    ('options', 'tolerance', 'differs'),
    [
        ([CHANNELS_LAST], 1e-5, ()),
        ([BF16], 1e-2, ()),
        pytest.param(['optim_wrapper.type=AmpOptimWrapper'], 1e-2, (), marks=needs_gpu, id='fp16'),
        (['model.queue_dtype=bfloat16'], 1e-3, ('queue.keys',)),
    ],
)
def test_a_switch_leaves_losses_and_checkpoint_as_they_are(images, plain, tmp_path, options, tolerance, differs):
    found = train(images, tmp_path / 'run', *options)
    check(found, plain, tmp_path / 'run', tolerance, differs)
    assert all(found[1][name].dtype == torch.bfloat16 for name in differs)


def test_a_run_goes_on_in_another_layout(images, plain, tmp_path):
    train(images, tmp_path / 'run')
    (tmp_path / 'run/epoch_3.pth').unlink()
    found = train(images, tmp_path / 'run', CHANNELS_LAST, flags=['--resume'])
    check(found, plain, tmp_path / 'run', 1e-5)
    for name, tensor in found[1].items():
        torch.testing.assert_close(tensor, plain[1][name], rtol=1e-2, atol=1e-3, msg=name)
        assert tensor.ndim != 4 or tensor.is_contiguous(memory_format=torch.channels_last), name


@pytest.mark.gpu
@pytest.mark.exhaustive
def test_all_switches_at_once_leave_losses_and_checkpoint_as_they_are(images, plain, tmp_path):
    found = train(images, tmp_path / 'run', CHANNELS_LAST, BF16, 'model.compile_backbone=True')
    check(found, plain, tmp_path / 'run', 1e-2)


# All of torch.compile but for the last step, which takes a C++ compiler minutes.
TRACED = 'model.compile_backbone.backend=aot_eager'


@pytest.mark.gpu
@pytest.mark.exhaustive  # a model's losses, names and copies are in tests/models/test_detco.py
def test_compiled_backbones_leave_losses_and_checkpoint_as_they_are(images, plain, tmp_path):
    check(train(images, tmp_path / 'run', TRACED), plain, tmp_path / 'run', 1e-5)


@pytest.mark.exhaustive  # tracing takes each rank as long as one process above
def test_compiled_backbones_train_on_two_ranks(images, tmp_path):
    two = dict(tool='tools/dist_train.sh', processes=[2])
    half = 'train_dataloader.batch_size=6'
    plain = train(images, tmp_path / 'plain', half, **two)
    check(train(images, tmp_path / 'run', half, TRACED, **two), plain, tmp_path / 'run', 1e-5)
