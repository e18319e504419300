"""What is stated of the pixels holds for a Runner that no tool has built, and for frozen features."""

import numpy as np
import pytest
import tifffile
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from detco_mm.engine.pixels import frozen_inputs, settle_pixels
from detco_mm.engine.settings import apply_command_line
from detco_mm.evaluation.frozen import object_crops
from detco_mm.transforms.pixels import Pixels
from tests.datasets.coco import NAMES, content, write
from tests.integration.small_run import CONFIG, NARROW, ROOT
from tests.integration.test_bands import options

RANGE = [100, 4000]


@pytest.fixture(scope='module')
def deep(tmp_path_factory):
    """Images of 12 bits in three bands, and in four."""
    folder = tmp_path_factory.mktemp('deep')
    rng = np.random.default_rng(0)
    for bands in (3, 4):
        (folder / str(bands)).mkdir()
        for at in range(8):
            values = rng.integers(100, 4001, (48, 64, bands)).astype(np.uint16)
            tifffile.imwrite(folder / f'{bands}/{at}.tif', values, photometric='minisblack', planarconfig='contig')
    return folder


def config(folder, work, **data):
    cfg = Config.fromfile(ROOT / CONFIG)
    cfg.merge_from_dict(options([*NARROW, 'train_cfg.max_epochs=1', 'default_hooks.check_images=None']))
    cfg.work_dir, cfg.data = str(work), dict(root=str(folder), **data)
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.train_dataloader.pop('prefetch_factor', None)
    return cfg


def reader(runner):
    return runner.train_dataloader.dataset.pipeline.transforms[0].pixels


STATED = {
    'a range': (dict(value_range=RANGE), dict(value_range=RANGE)),
    'percentiles': (dict(percentiles=(0, 100)), None),
    'bands': (dict(value_range=RANGE, bands=[2, 1, 0]), dict(value_range=RANGE, bands=[2, 1, 0])),
    'nodata': (dict(value_range=RANGE, nodata=100), dict(value_range=RANGE, nodata=100.0)),
}


@pytest.mark.parametrize('kind', STATED)
def test_a_plain_runner_reads_as_data_says(kind, deep, tmp_path):
    stated, expected = STATED[kind]
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        runner = Runner.from_cfg(config(deep / '3', tmp_path, **stated))
        assert runner.train_loop is not None
    found = reader(runner).settings()
    if expected is None:
        low, high = found['value_range']['uint16']
        assert low == 100 and high == 4000
    else:
        assert found == expected


def test_a_plain_runner_whose_model_takes_other_channels_stops_in_one_line(deep, tmp_path):
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        runner = Runner.from_cfg(config(deep / '4', tmp_path, channels=4))
        with pytest.raises(
            ValueError, match=r'images of 4 channels, mean and std of 3, .*set data.channels=4'
        ) as error:
            runner.train()
    assert '\n' not in str(error.value)


def test_the_log_names_a_range_that_is_stated(deep, tmp_path):
    cfg = config(deep / '3', tmp_path, value_range=RANGE)
    cfg.experiment_name = 'stated'  # MMEngine keeps the log of a run that began within the same second
    apply_command_line(cfg)
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        settle_pixels(cfg)
        assert 'value_range' not in cfg.data  # the pipeline says it from here on
        Runner.from_cfg(cfg).train()
    (log,) = tmp_path.glob('*/*.log')
    assert 'pixels: 3 channels; all values, 100 to 4000, become 0 to 255' in log.read_text()


def checkpoint(path, **pixels):
    torch.save(dict(state_dict={}, meta=dict(pixels=pixels) if pixels else {}), path)
    return path


MOMENTS = dict(mean=[1.0, 2.0, 3.0, 4.0], std=[5.0, 6.0, 7.0, 8.0])


def test_a_frozen_backbone_is_given_what_its_checkpoint_tells(deep, tmp_path):
    cfg = Config.fromfile(ROOT / CONFIG)
    path = checkpoint(tmp_path / 'a.pth', channels=4, value_range=dict(uint16=RANGE), **MOMENTS)
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        inputs = frozen_inputs(cfg, path, [])
    assert inputs.pixels.settings() == dict(channels=4, value_range=dict(uint16=RANGE))
    assert (list(inputs.mean), list(inputs.std)) == (MOMENTS['mean'], MOMENTS['std'])
    assert inputs.backbone.in_channels == 4 and cfg.model.backbone.get('in_channels', 3) == 3


def test_or_else_what_the_config_tells_or_else_what_is_measured(deep, tmp_path):
    paths = sorted(map(str, (deep / '3').iterdir()))
    cfg = Config.fromfile(ROOT / CONFIG)
    with DefaultScope.overwrite_default_scope('mmselfsup'):
        measured = frozen_inputs(cfg, checkpoint(tmp_path / 'a.pth'), paths)
        low, high = measured.pixels.value_range['uint16']
        assert 100 <= low < 150 and 3950 < high <= 4000
        assert list(measured.mean) == list(cfg.model.data_preprocessor.mean)
        cfg.train_dataloader.dataset.pipeline[0].pixels = dict(value_range=RANGE)
        assert frozen_inputs(cfg, None, paths).pixels.settings() == dict(value_range=RANGE)


def test_crops_of_objects_have_the_bands_and_the_range(tmp_path):
    (tmp_path / 'images').mkdir()
    names = [name.replace('.jpg', '.tif') for name in NAMES]
    values = np.full((90, 120, 4), 2050, np.uint16)
    values[..., 3] = 4000
    for name in names:
        tifffile.imwrite(tmp_path / 'images' / name, values, photometric='minisblack', planarconfig='contig')
    labels = content()
    for image, name in zip(labels['images'], names, strict=True):
        image['file_name'] = name
    path = write(tmp_path / 'a.json', labels)
    crops, _ = object_crops(path, tmp_path / 'images', 16, pixels=Pixels(4, value_range=RANGE))
    assert crops.shape == (10, 16, 16, 4) and crops[..., 3].min() == 255 and set(np.unique(crops[..., :3])) == {128}
    with pytest.raises(ValueError, match='it has 4 bands, not 3'):
        object_crops(path, tmp_path / 'images', 16)
