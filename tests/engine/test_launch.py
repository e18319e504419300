"""A config says what runs: a plain Runner does what the tools do, and the terminal shows what a user needs."""

import multiprocessing
from ast import literal_eval

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from detco_mm.engine import launch
from detco_mm.engine.hooks import RunChecks
from detco_mm.engine.optim_wrapper import has_bfloat16
from tests.engine.hooks.runs import log, scalars
from tests.integration import forked
from tests.integration.small_run import CONFIG, NARROW, ROOT, free_port, photographs

OPTIONS = {name: literal_eval(value) for name, value in (text.split('=') for text in NARROW)}
CONFIGS = sorted(
    path
    for folder in ('', 'ablations', 'mini')
    for path in (ROOT / 'configs' / folder).glob('*.py')
    if 'mask-rcnn' not in path.name
)


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 8)


def narrow(path, images, work_dir):
    """A config as a user without any tool of ours would shorten it: by its own settings alone."""
    cfg = Config.fromfile(path)
    cfg.work_dir, cfg.experiment_name = str(work_dir), str(work_dir)
    options = {**OPTIONS, 'train_cfg.max_epochs': 1, 'env_cfg.cudnn_benchmark': False}
    if cfg.model.backbone.type == 'ResNet':
        options['model.backbone.depth'] = 18
    else:
        options = {name: value for name, value in options.items() if not name.startswith('model.backbone.')}
        options |= {'model.backbone.widen_factor': 0.125}
    cfg.merge_from_dict(options)
    cfg.train_dataloader.dataset.data_root = str(images)
    views, jigsaw = cfg.train_dataloader.dataset.pipeline[:2]
    if views.get('local_from_global'):
        views.global_size, jigsaw.patch_size = 72, min(jigsaw.patch_size, 24)
    cfg.model.pop('compile_backbone', None)  # half a minute, and tested elsewhere
    return cfg


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_plain_runner_trains_every_pre_training_config(path, images, tmp_path):
    assert Config.fromfile(path).work_dir == f'work_dirs/{path.stem}'
    cfg = narrow(path, images, tmp_path)
    cfg.train_dataloader.dataset.indices = 4
    Runner.from_cfg(cfg).train()
    (row,) = scalars(tmp_path)
    assert row['step'] == 1 and row['loss'] > 0 and (tmp_path / 'epoch_1.pth').is_file()


def test_a_plain_runner_has_the_losses_and_weights_of_the_tools(images, tmp_path):
    Runner.from_cfg(narrow(ROOT / CONFIG, images, tmp_path / 'plain')).train()
    cfg = launch.read_config(CONFIG, ROOT, str(tmp_path / 'tool'))
    cfg.experiment_name = str(tmp_path / 'tool')
    launch.train(cfg, {**OPTIONS, 'train_cfg.max_epochs': 1, 'data.root': str(images)})
    plain, tool = (
        [{key: value for key, value in row.items() if 'time' not in key} for row in scalars(tmp_path / name)]
        for name in ('plain', 'tool')
    )
    assert plain == tool and len(plain) == 2
    weights = [
        torch.load(tmp_path / name / 'epoch_1.pth', weights_only=True)['state_dict'] for name in ('plain', 'tool')
    ]
    torch.testing.assert_close(*weights, rtol=0, atol=0)


def test_a_plain_runner_follows_the_short_name_of_the_images_as_the_tools_do(images, tmp_path):
    cfg = narrow(ROOT / CONFIG, 'absent', tmp_path)
    cfg.data = dict(root=str(images), ann_file=str(tmp_path / 'list.txt'))
    (tmp_path / 'list.txt').write_text('\n'.join(path.name for path in sorted(images.iterdir())[:4]))
    Runner.from_cfg(cfg).train()
    assert [row['step'] for row in scalars(tmp_path)] == [1]  # four images are one batch


def test_a_hook_of_ours_is_left_out_by_none_in_a_plain_runner_and_one_of_mmengines_too(images, tmp_path):
    cfg = narrow(ROOT / CONFIG, images, tmp_path)
    cfg.default_hooks.update(watchdog=None, timer=None)
    kinds = {type(hook).__name__ for hook in Runner.from_cfg(cfg).hooks}
    assert not {'Watchdog', 'IterTimerHook'} & kinds and 'StopOnSignal' in kinds


def test_the_first_screen_says_what_is_trained_on_what_for_how_long_and_where_it_is_written(images, tmp_path, capsys):
    cfg = launch.read_config(CONFIG, ROOT, str(tmp_path / 'run'))
    cfg.experiment_name = str(tmp_path)
    launch.train(cfg, {**OPTIONS, 'train_cfg.max_epochs': 2, 'data.root': str(images)})
    printed = capsys.readouterr()
    shown = printed.out + printed.err
    screen = shown.split('Epoch(train)')[0]
    assert len(screen.splitlines()) < 12
    assert 'training   DetCo with ResNet 18, ' in screen and 'from random weights' in screen
    assert f'images     8 of {images}' in screen
    assert 'for        2 epochs of 2 steps, batches of 4' in screen
    assert f'into       {tmp_path / "run"}' in screen
    noise = (
        'System environment',
        'Config:',
        'Hooks will be executed',
        'FileClient',
        'HardDiskBackend',
        'requires_grad=False',
    )
    assert not [words for words in noise if words in shown]
    kept = log(tmp_path / 'run')
    assert 'System environment' in kept and 'Config:' in kept
    assert 'requires_grad=False' not in kept and 'FileClient' not in kept


def test_a_resumed_run_says_from_where(images, tmp_path, capsys):
    for epochs in (1, 2):
        cfg = launch.read_config(CONFIG, ROOT, str(tmp_path))
        cfg.experiment_name = f'{tmp_path}-{epochs}'
        launch.train(cfg, {**OPTIONS, 'train_cfg.max_epochs': epochs, 'data.root': str(images)}, resume='auto')
        printed = capsys.readouterr()
    shown = printed.out + printed.err
    assert f'from checkpoint {tmp_path}/epoch_1.pth' in shown and '2 epochs of 2 steps, from epoch 2 on' in shown


def test_fused_sgd_under_loss_scaling_needs_the_hook_that_keeps_overflows_from_it():
    weight = torch.nn.Parameter(torch.ones(3))

    class Scaled:
        optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, fused=True)
        loss_scaler = torch.amp.GradScaler('cpu')

    class Plain:
        optim_wrapper, hooks = Scaled(), []

    with pytest.raises(
        ValueError, match='keep default_hooks.stop_on_non_finite, or set optim_wrapper.optimizer.fused=False'
    ):
        RunChecks._check_fused_sgd(Plain())


@pytest.mark.skipif(has_bfloat16(), reason='this device has bf16')
def test_bf16_is_float32_where_the_cpu_has_no_instructions_for_it(images, tmp_path):
    found = {}
    for kind in ('OptimWrapper', 'detco_mm.BFloat16OptimWrapper'):
        cfg = narrow(ROOT / CONFIG, images, tmp_path / kind)
        cfg.optim_wrapper.type = kind
        Runner.from_cfg(cfg).train()
        found[kind] = [row['loss'] for row in scalars(tmp_path / kind)]
    assert found['OptimWrapper'] == found['detco_mm.BFloat16OptimWrapper']
    assert 'this CPU has no instructions for bf16' in log(tmp_path / 'detco_mm.BFloat16OptimWrapper')


STARTED = """
import multiprocessing, os, sys
from mmengine.config import Config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from detco_mm.engine import launch

@RUNNERS.register_module()
class Started(Runner):
    def __init__(self, env_cfg):
        self._launcher, self._distributed = 'pytorch', True
        self.setup_env(env_cfg)

    from_cfg = classmethod(lambda cls, cfg: cls(cfg.env_cfg))

os.environ.update(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT=sys.argv[1])
cfg = Config(dict(runner_type='Started', launcher='pytorch', env_cfg=Config.fromfile(sys.argv[2]).env_cfg))
launch.build_runner(cfg)
print(multiprocessing.get_start_method())
launch.end_process_group()
"""


def test_data_workers_of_several_ranks_start_as_those_of_one_process():
    done = forked.run_code(STARTED, free_port(), ROOT / CONFIG)
    assert done.returncode == 0 and done.stdout.split() == [multiprocessing.get_start_method()], done.stderr
