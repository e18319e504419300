"""The tutorial's commands, on less data and for fewer steps; exactly as written; and what it says about GPUs."""

import re

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from detco_mm.engine.settings import apply_command_line
from tests.documents import ROOT, blocks, checkout, run, shortened
from tests.integration.test_detectors import small

TUTORIAL = blocks('docs/tutorial.md', 'bash')
TEXT = (ROOT / 'docs/tutorial.md').read_text()


def evaluations(printed):
    """Rows of printed tables that hold an AP."""
    return re.findall(r'^\| *\S+.*\| +\d+\.\d \|', printed, re.MULTILINE)


def check(folder, printed):
    work = folder / 'work_dirs/mine'
    assert (work / 'before/views.png').is_file() and (work / 'backbone.pth').is_file()
    assert (work / 'short/pretrain.py').is_file() and (work / 'short/backbone.pth').is_file()
    for page in ('before/index.html', 'after/index.html', 'report.html'):
        assert 'data:image/png' in (work / page).read_text()
    assert len(evaluations(printed)) >= 3, printed  # both runs in the report, and the checkpoint once more


@pytest.fixture(scope='module')
def short(tmp_path_factory):
    """The folder in which all commands ran on less, and what they printed."""
    folder = checkout(tmp_path_factory.mktemp('short'))
    return folder, ''.join([run(shortened(block), folder) for block in TUTORIAL])


# one test, for another could be another worker's, which would run all commands again
@pytest.mark.slow
def test_every_command_runs_on_what_the_one_before_left_and_starts_from_it(short):
    check(*short)
    work = short[0] / 'work_dirs/mine'
    logs = {name: next(work.glob(f'{name}/*/*.log')).read_text() for name in ('detco', 'random', 'adapt', 'adapted')}
    assert 'backbone.pth' in logs['detco'] and 'backbone.pth' not in logs['random']
    assert 'backbone from "work_dirs/mine/backbone.pth": 120 tensors' in logs['adapt']
    assert 'work_dirs/mine/adapted/backbone.pth' in logs['adapted']


@pytest.mark.exhaustive
def test_commands_run_exactly_as_written(tmp_path):
    folder = checkout(tmp_path)
    check(folder, ''.join([run(block, folder) for block in TUTORIAL]))


def swapped(folder, name, base):
    """The tutorial's config over the base that it names for GPUs."""
    assert f"'{base}'" in TEXT
    written = (folder / f'configs/mine/{name}.py').read_text()
    path = folder / f'configs/mine/{name}-gpu.py'
    path.write_text(re.sub(r"_base_ = '\S+'", f"_base_ = '{base}'", written))
    return path


@pytest.mark.parametrize(
    ('name', 'base'),
    [
        ('pretrain', '../detco_r50_8xb32.py'),
        pytest.param('adapt', '../adapt/detco_r50_adapt.py', marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.exhaustive
def test_the_full_pre_training_takes_the_same_config(short, name, base):
    folder, _ = short
    swapped(folder, name, base)
    run(
        f'python tools/train.py configs/mine/{name}-gpu.py --work-dir work_dirs/full-{name} --cfg-options '
        'train_dataloader.batch_size=2 train_dataloader.num_workers=1 train_dataloader.dataset.indices=4 '
        'train_cfg.max_epochs=1 model.queue_len=2 default_hooks.checkpoint.interval=1',
        folder,
    )
    assert (folder / f'work_dirs/full-{name}/epoch_1.pth').is_file()


@pytest.mark.exhaustive  # the configs themselves train in tests/integration/test_detectors.py
@pytest.mark.parametrize('base', ['../mmdet/mask-rcnn_r50_fpn_12k_coco.py', '../mmdet/retinanet_r50_fpn_12k_coco.py'])
def test_the_full_detectors_take_the_same_config(short, base, tmp_path):
    folder, _ = short
    path = swapped(folder, 'detector', base)
    if 'retinanet' in base:
        heads = 'model = dict(bbox_head=dict(num_classes=len(classes)))'
        assert heads in TEXT
        path.write_text(re.sub(r'^model = .*', heads, path.read_text(), flags=re.MULTILINE))
    cfg = Config.fromfile(path)
    small(cfg, folder / 'data/mine')
    apply_command_line(cfg)
    init_default_scope('mmdet')
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = cfg.visualizer.name = base.split('/')[-1]  # MMEngine keeps visualizers by their name
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    head = runner.model.bbox_head if 'retinanet' in base else runner.model.roi_head.bbox_head
    assert head.num_classes == 8 and len(runner.val_dataloader.dataset.metainfo['classes']) == 8
