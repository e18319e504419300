"""One call: it chooses, writes what it chose, trains that, exports, goes on, and says what is wrong."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import detco_mm
from detco_mm.planning.call import CONFIGS
from detco_mm.planning.facts import backbone_facts, images_and_pixels
from detco_mm.planning.networks import NAMES, network
from detco_mm.weights import load_checkpoint
from tests.integration import forked
from tests.integration.forked import ROOT
from tests.integration.small_run import photographs

NARROW = """
model = dict(backbone=dict(
    type='ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN'), frozen_stages=1,
    norm_eval=True, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')))
default_scope = 'mmdet'
"""


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp('images'), 16)


@pytest.fixture(scope='module')
def made(images, tmp_path_factory):
    """A folder with what the command left, and what it printed."""
    folder = tmp_path_factory.mktemp('call')
    (folder / 'narrow.py').write_text(NARROW)
    line = [sys.executable, ROOT / 'tools/pretrain.py', images, '--backbone', folder / 'narrow.py', '--epochs', '2']
    line += ['--out', folder / 'out']
    done = forked.run(line, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, line, done.stdout + done.stderr


def losses(work_dir):
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line)['loss'] for line in path.read_text().splitlines()]


def test_it_leaves_a_config_a_run_and_a_backbone_and_says_what_is_next(made):
    folder, _, said = made
    text = (folder / 'out/pretrain.py').read_text()
    assert '# Keys, in whole batches. 16 images' in text and 'queue_len = 8' in text and 'max_epochs = 2' in text
    backbone = load_checkpoint(folder / 'out/backbone.pth')
    assert backbone['meta']['to'] == 'mmdet' and backbone['meta']['epoch'] == 2
    assert len(losses(folder / 'out/pretrain')) >= 2
    assert f'tools/det_train.py CONFIG {folder}/out/backbone.pth' in said


def test_its_config_trains_the_same_with_the_tool(made, tmp_path):
    folder, _, _ = made
    line = [sys.executable, 'tools/train.py', folder / 'out/pretrain.py', '--work-dir', tmp_path / 'tool']
    assert forked.run(line).returncode == 0
    assert losses(tmp_path / 'tool') == losses(folder / 'out/pretrain')


def test_the_same_call_goes_on_with_the_config_as_it_is_by_now(made):
    folder, line, _ = made
    config = folder / 'out/pretrain.py'
    config.write_text(config.read_text().replace('max_epochs = 2', 'max_epochs = 3'))
    done = forked.run(line, cwd=folder)
    assert done.returncode == 0 and 'going on with what it says' in done.stdout + done.stderr
    assert load_checkpoint(folder / 'out/backbone.pth')['meta']['epoch'] == 3
    assert 'max_epochs = 3' in config.read_text()
    done = forked.run([*line, '--batch-size', '2'], cwd=folder)
    assert done.returncode == 1
    assert 'was made for batch_size=None, and the call says batch_size=2: take another `out`' in done.stderr


def test_of_a_detectors_config_only_the_network_is_taken(tmp_path):
    (tmp_path / 'detector.py').write_text(NARROW)
    backbone = network(str(tmp_path / 'detector.py'), CONFIGS).backbone
    assert backbone.type == 'mmdet.ResNet' and not {'init_cfg', 'frozen_stages', 'norm_eval'} & set(backbone)


@pytest.mark.parametrize('name', NAMES)
def test_every_name_has_four_maps(name):
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        facts = backbone_facts(network(name, CONFIGS).backbone, 3)
    assert facts['batch_norm'] == (name not in ('convnext-tiny', 'swin-tiny'))
    # a convolution's input and what BN and ReLU keep: some dozen numbers a pixel at least
    assert 100 < facts['saved'] < 10_000


def test_what_the_forward_pass_keeps_is_counted_once(tmp_path):
    class Chain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.steps = torch.nn.ModuleList(
                torch.nn.Conv2d(1 if step == 0 else 4, 4, 3, 4 if step == 0 else 2, 1) for step in range(4)
            )

        def forward(self, image):
            maps = []
            for step in self.steps:
                image = step(image)
                maps.append(image)
            return maps

    detco_mm.registry.MODELS.register_module('ChainOfFour', force=True, module=Chain)
    # the image itself, and three maps that are inputs of the next one: 4 channels at 1/16, 1/64, 1/256 of the pixels
    expected = 4 * (1 + 4 / 16 + 4 / 64 + 4 / 256)
    assert backbone_facts(dict(type='detco_mm.ChainOfFour'), 1)['saved'] == pytest.approx(expected, rel=0.01)


def test_channels_and_sides_are_those_of_the_images(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(16):
        shape = (40 + number, 80, 4) if number else (40, 80, 3)
        cv2.imwrite(str(tmp_path / f'{number:02d}.tif'), rng.integers(0, 255, shape, np.uint16))
    dataset = dict(type='detco_mm.ImageFolder', data_root=str(tmp_path))
    assert images_and_pixels(dataset, None) == (16, 48, 4)
    assert images_and_pixels(dataset, 3)[2] == 3


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (('absent',), 'no image folder at "absent'),
        (('images', '--backbone', 'resnet5'), 'no backbone "resnet5": did you mean resnet50?'),
        (('images', '--from', 'absent.pth'), 'no checkpoint at "absent.pth"'),
        (('images', '--from', 'other.pth'), '"other.pth": '),
        (('images', '--gpus', '2'), 'gpus=2'),
        (('images', '--out', 'images/00.jpg'), 'is no folder'),
        (('few',), '3 images: DetCo learns by telling images apart'),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, said, images, tmp_path):
    (tmp_path / 'images').symlink_to(images)
    photographs(tmp_path / 'few', 3)
    torch.save(dict(state_dict={'weight': torch.ones(2)}), tmp_path / 'other.pth')
    done = forked.run([sys.executable, ROOT / 'tools/pretrain.py', *arguments], cwd=tmp_path)
    assert done.returncode == 1 and said in done.stderr and 'Traceback' not in done.stderr, done.stderr
    assert not list(tmp_path.glob('work_dirs/*/*.pth'))


def test_commands_of_the_package_are_the_tools():
    said = subprocess.run([sys.executable, ROOT / 'detco_mm/__main__.py'], capture_output=True, text=True)
    assert said.returncode == 0 and 'detco-mm COMMAND' in said.stdout
    from detco_mm.__main__ import COMMANDS, TOOLS

    assert [name for name, (_, tool) in COMMANDS.items() if not (TOOLS / f'{tool}.py').is_file()] == []
    # no stack is needed to be told how
    path = str(ROOT / 'detco_mm/__main__.py')
    said = subprocess.run([sys.executable, path, 'pretrain', '--help'], capture_output=True, text=True)
    assert said.returncode == 0 and '--config-only' in said.stdout
    said = subprocess.run([sys.executable, path, 'pretrian'], capture_output=True, text=True)
    assert said.returncode == 1 and 'no command "pretrian"' in said.stderr


def test_the_package_offers_it_by_name():
    assert detco_mm.pretrain.__module__ == 'detco_mm.planning.call' and callable(detco_mm.export_backbone)
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        detco_mm.pretrian  # noqa: B018


def test_a_config_for_several_gpus_is_written_and_not_trained_here(images, tmp_path, monkeypatch):
    monkeypatch.setattr(
        'detco_mm.planning.call.machine_facts', lambda gpus: dict(gpus=gpus, memory=2**35, cores=16, bf16=True)
    )
    path = detco_mm.pretrain(images, 'resnet18', out=tmp_path, gpus=2, train=False)
    cfg = Config.fromfile(path)
    assert cfg.called.gpus == 2 and cfg.auto_scale_lr.base_batch_size == 2 * cfg.train_dataloader.batch_size
    with pytest.raises(ValueError, match=f'tools/dist_train.sh {path} 2'):
        detco_mm.pretrain(images, 'resnet18', out=tmp_path, gpus=2)
