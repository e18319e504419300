"""A sample of the files says what no config states, the same each time, in one line of the log."""

import numpy as np
import pytest
import tifffile
import torch
from mmengine.dataset import Compose
from mmengine.logging import MMLogger

from detco_mm.datasets import ImageFolder
from detco_mm.transforms import LoadImage
from detco_mm.transforms.measuring import PERCENTILES, SAMPLE, settle, statistics
from detco_mm.transforms.pixels import Pixels

PIPELINE = [
    dict(type='detco_mm.DetCoViews', global_size=16, local_size=18),
    dict(type='detco_mm.JigsawPatches', patch_size=6),
    dict(type='detco_mm.PackDetCoInputs'),
]
KINDS = {
    '10 bits': ('uint16', 30, 900),
    '12 bits': ('uint16', 100, 4000),
    '14 bits, thermal': ('uint16', 7000, 9500),
    '16 bits': ('uint16', 0, 65535),
    'heights': ('int16', -420, 3800),
    'heights, 32 bits': ('int32', -42000, 380000),
    'reflectance': ('float32', 0.0, 0.4),
    'float64': ('float64', -1e-3, 1e-3),
}


def folder_of(path, kind, low, high, count=5, bands=1):
    rng = np.random.default_rng(0)
    for number in range(count):
        values = rng.uniform(low, high, (bands, 40, 50)).astype(kind)
        options = dict(planarconfig='separate') if bands > 1 else {}
        tifffile.imwrite(
            path / f'{number}.tif', values if bands > 1 else values[0], photometric='minisblack', **options
        )
    return sorted(map(str, path.glob('*.tif')))


@pytest.fixture
def log(tmp_path):
    path = tmp_path / 'a.log'
    MMLogger.get_instance(f'measuring {tmp_path}', log_file=str(path), log_level='INFO')
    return path


@pytest.mark.parametrize('name', KINDS)
def test_a_folder_of_any_kind_of_numbers_uses_all_grey_levels_and_says_how(name, tmp_path, log):
    kind, low, high = KINDS[name]
    (images := tmp_path / 'images').mkdir()
    folder_of(images, kind, low, high)
    dataset = ImageFolder(data_root=str(images), pipeline=PIPELINE)
    (stated,) = dataset.pipeline.transforms[0].pixels.value_range.values()
    assert np.allclose(stated, (low, high), atol=0.02 * (high - low))
    image = dataset.pipeline.transforms[0]._read(str(images / '0.tif'))
    assert image.shape == (40, 50, 3) and len(np.unique(image)) > 240
    lines = [line for line in log.read_text().splitlines() if 'pixels:' in line]
    assert len(lines) == 1 and kind in lines[0] and 'data.value_range=(' in lines[0]
    assert [tuple(view.shape) for view in dataset[0]['inputs']] == [(3, 16, 16)] * 2 + [(9, 3, 6, 6)] * 2


def test_what_the_log_says_to_write_gives_the_same_pixels(tmp_path, log):
    (images := tmp_path / 'images').mkdir()
    paths = folder_of(images, 'uint16', 100, 4000)
    measured = settle(paths, Pixels())
    line = next(line for line in log.read_text().splitlines() if 'data.value_range=' in line)
    written = eval(line.split('data.value_range=')[1].split(' into')[0])
    one, other = LoadImage(**measured.settings()), LoadImage(value_range=written)
    assert np.array_equal(one(dict(img_path=paths[0]))['img'], other(dict(img_path=paths[0]))['img'])


def test_the_sample_is_the_same_each_time_and_of_bounded_size(tmp_path):
    rng = np.random.default_rng(1)
    for number in range(3 * SAMPLE):
        values = rng.integers(0, 30 * (number + 1), (8, 8)).astype(np.uint16)
        tifffile.imwrite(tmp_path / f'{number:03d}.tif', values)
    paths = sorted(map(str, tmp_path.iterdir()))
    assert settle(paths, Pixels()).value_range == settle(paths, Pixels()).value_range


def test_pre_training_and_fine_tuning_see_the_same_pixels(tmp_path):
    paths = folder_of(tmp_path, 'float32', -3, 9, bands=4)
    dataset = ImageFolder(data_root=str(tmp_path), pipeline=[dict(PIPELINE[0], pixels=dict(channels=4)), *PIPELINE[1:]])
    dataset.full_init()
    views = dataset.pipeline.transforms[0]
    reader = LoadImage(**views.pixels.settings())
    assert np.array_equal(views._read(paths[1]), reader(dict(img_path=paths[1]))['img'])


def test_three_channels_come_as_bgr_for_mmdetection(tmp_path):
    paths = folder_of(tmp_path, 'uint8', 0, 255, bands=3)
    rgb = Pixels(bands=(0, 1, 2))
    image = LoadImage(bands=(0, 1, 2))(dict(img_path=paths[0]))
    assert image['img_shape'] == image['ori_shape'] == (40, 50)
    views = ImageFolder(data_root=str(tmp_path), pipeline=[dict(PIPELINE[0], pixels=rgb.settings())])
    views.full_init()
    assert np.array_equal(image['img'][..., ::-1], views.pipeline.transforms[0]._read(paths[0]))


def test_percentiles_that_are_stated_stretch_8_bits_as_well(tmp_path):
    paths = folder_of(tmp_path, 'uint8', 50, 101)
    assert settle(paths, Pixels()).value_range is None
    assert settle(paths, Pixels(), (0, 100)).value_range == dict(uint8=[50, 100])


def test_nodata_and_nan_are_not_measured(tmp_path):
    for number in range(3):
        values = np.linspace(200, 300, 400, dtype=np.float32).reshape(20, 20)
        values[:8], values[8, :4] = -32768, np.nan
        tifffile.imwrite(tmp_path / f'{number}.tif', values, extratags=[(42113, 's', 0, '-32768', True)])
    (low, high) = settle(sorted(map(str, tmp_path.iterdir())), Pixels()).value_range['float32']
    assert 235 < low < high <= 300


@pytest.mark.parametrize('bands', [2, 4, 13])
def test_files_of_several_bands_stop_with_the_ways_out(bands, tmp_path):
    folder_of(tmp_path, 'uint16', 0, 9, bands=bands)
    with pytest.raises(
        ValueError, match=rf'5 of 5 images.*{bands} bands, not 3: set data.channels={bands}.*data.bands'
    ):
        ImageFolder(data_root=str(tmp_path), pipeline=PIPELINE).full_init()


def test_numbers_that_are_all_the_same_stop(tmp_path):
    tifffile.imwrite(tmp_path / 'a.tif', np.full((9, 9), 7, np.uint16))
    with pytest.raises(ValueError, match='all uint16 numbers.*are 7'):
        settle([str(tmp_path / 'a.tif')], Pixels())


def test_mean_and_std_are_those_of_the_stretched_bands(tmp_path):
    paths = folder_of(tmp_path, 'uint16', 0, 1000, bands=2)
    mean, std = statistics(paths, settle(paths, Pixels(2), PERCENTILES))
    assert np.allclose(mean, 127.5, atol=3) and np.allclose(std, 255 / 12**0.5, atol=3)


@pytest.mark.parametrize('channels', [1, 2, 4, 13])
@pytest.mark.parametrize('kind', ['uint8', 'uint16'])
def test_views_have_as_many_channels_as_are_stated(channels, kind, tmp_path):
    folder_of(tmp_path, kind, 0, 250, bands=channels)
    views = dict(PIPELINE[0], pixels=dict(channels=channels), colour_jitter=dict(prob=1.0), blur=dict(prob=1.0))
    dataset = ImageFolder(data_root=str(tmp_path), pipeline=[views, *PIPELINE[1:]])
    shapes = [tuple(view.shape) for view in dataset[0]['inputs']]
    assert shapes == [(channels, 16, 16)] * 2 + [(9, channels, 6, 6)] * 2
    assert all(view.dtype == torch.uint8 for view in dataset[0]['inputs'])


def test_a_reader_names_the_file_that_it_cannot_use(tmp_path):
    paths = folder_of(tmp_path, 'uint16', 0, 9)
    with pytest.raises(ValueError, match=f'"{paths[0]}" cannot be used.*value_range'):
        Compose([dict(type='detco_mm.LoadImage')])(dict(img_path=paths[0]))
