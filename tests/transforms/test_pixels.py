"""Values of every kind become 8-bit channels by the stated rule, or the file is refused with a reason."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from detco_mm.transforms.decoding import UndecodableImage, decode, read_header
from detco_mm.transforms.pixels import Pixels
from detco_mm.transforms.rasters import is_plain, read_raster
from tests.bad_files import encoded, png
from tests.transforms.photograph import GOOD, PHOTO

DEPTHS = (10, 12, 14, 16)


def made(content, **pixels):
    """Return what the reader makes of a file."""
    return Pixels(**pixels).read(content, read_header(content))


def values_of(content):
    return read_raster(content, read_header(content)).values


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def png16(values):
    """Return a PNG of 16 bits, grey or RGB."""
    rows = zlib.compress(b''.join(b'\0' + row.astype('>u2').tobytes() for row in values))
    return png(values.shape[1], values.shape[0], rows, depth=16, colour=2 if values.ndim == 3 else 0)


def netpbm(values, highest):
    kind = b'P6' if values.ndim == 3 else b'P5'
    return kind + b'\n# made by hand\n%d %d\n%d\n' % (*values.shape[1::-1], highest) + values.astype('>u2').tobytes()


def jpeg2000(values):
    order = values[..., ::-1] if values.ndim == 3 else values
    return cv2.imencode('.jp2', order, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()


def packed_tiff(values, bits):
    """Return a TIFF whose samples are not padded to whole bytes; tifffile itself cannot write one."""
    rows = b''
    for row in values:
        text = ''.join(f'{value:0{bits}b}' for value in row)
        text += '0' * (-len(text) % 8)
        rows += int(text, 2).to_bytes(len(text) // 8, 'big')
    height, width = values.shape
    tags = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 4, height), (279, 4, len(rows))]
    body = rows + b'\0' * (len(rows) % 2)
    directory = struct.pack('<H', len(tags)) + b''.join(struct.pack('<HHII', tag, kind, 1, v) for tag, kind, v in tags)
    return b'II*\0' + struct.pack('<I', 8 + len(body)) + body + directory + bytes(4)


def ramp(bits, shape=(48, 64)):
    """Return values that use every part of a depth."""
    return np.linspace(0, 2**bits - 1, shape[0] * shape[1]).round().astype(np.uint16).reshape(shape)


WRITERS = {
    'png': png16,
    'tiff': tiff,
    'tiff deflate': lambda values: tiff(values, compression='zlib', predictor=True),
    'tiff tiles': lambda values: tiff(values, tile=(16, 16)),
    'tiff big-endian': lambda values: tiff(values, byteorder='>'),
    'bigtiff': lambda values: tiff(values, bigtiff=True),
    'netpbm': lambda values: netpbm(values, 65535),
    'jpeg 2000': jpeg2000,
}


@pytest.mark.parametrize('colour', [False, True], ids=['grey', 'rgb'])
@pytest.mark.parametrize('writer', WRITERS)
@pytest.mark.parametrize('bits', DEPTHS)
def test_no_grey_level_of_a_deep_file_is_lost(bits, writer, colour):
    values = ramp(bits)
    if colour:
        values = np.stack([values, values[::-1], values[:, ::-1]], -1)
    content = WRITERS[writer](values)
    assert not is_plain(content, read_header(content))
    assert np.array_equal(values_of(content), values.reshape(*values.shape[:2], -1))
    image = made(content, value_range=(0, 2**bits - 1))
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    assert len(np.unique(image[..., 0])) == 256
    expected = np.rint(values.reshape(48, 64, -1) / (2**bits - 1) * 255)
    assert np.abs(image - expected).max() <= 1


@pytest.mark.parametrize('bits', (10, 12, 14))
def test_packed_bits_are_read_where_a_library_can_and_refused_by_name_where_none_can(bits):
    values = ramp(bits)
    content = packed_tiff(values, bits)
    if bits == 12:  # Pillow's
        assert np.array_equal(values_of(content)[..., 0], values)
    else:
        with pytest.raises(UndecodableImage, match=rf'{bits} bits.*pip install imagecodecs'):
            values_of(content)


def test_lzw_is_read_without_imagecodecs():
    deep = ramp(12)
    assert np.array_equal(values_of(encoded(Image.fromarray(deep), 'TIFF', compression='tiff_lzw'))[..., 0], deep)


@pytest.mark.parametrize('layout', ['interleaved', 'planes', 'pages', 'tiles', 'unsaid'])
@pytest.mark.parametrize('bands', [2, 4, 5, 13])
@pytest.mark.parametrize('kind', ['uint8', 'uint16', 'int16', 'float32'])
def test_bands_come_in_their_order_whatever_the_layout(kind, bands, layout):
    values = np.arange(bands * 40 * 50).reshape(bands, 40, 50).astype(kind)
    grey = dict(photometric='minisblack')
    last = np.moveaxis(values, 0, -1).copy()
    content = {
        'interleaved': lambda: tiff(last, planarconfig='contig', **grey),
        'planes': lambda: tiff(values, planarconfig='separate', **grey),
        'pages': lambda: tiff(values, **grey),
        'tiles': lambda: tiff(last, planarconfig='contig', tile=(16, 16), **grey),
        'unsaid': lambda: tiff(last),
    }[layout]()
    found = values_of(content)
    assert found.dtype == kind and np.array_equal(found, last)
    image = made(content, bands=(bands - 1, 0), value_range=(0, 60000))
    expected = np.rint(last[..., [bands - 1, 0]] * (255 / 60000)).clip(0, 255)
    assert np.abs(image - expected).max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(['uint16', 'int16', 'int32', 'uint32', 'float32', 'float64', 'int8']),
    low=st.integers(-100, 60),
    width=st.integers(1, 10_000),
    seed=st.integers(0, 1000),
)
def test_a_stretch_is_monotonic_and_ends_at_its_bounds(kind, low, width, seed):
    limits = np.iinfo(kind) if np.dtype(kind).kind in 'iu' else np.finfo(np.float32)
    values = np.random.default_rng(seed).uniform(low - width, low + 2 * width, 200)
    values = np.sort(values.clip(float(limits.min), float(limits.max))).astype(kind).reshape(1, -1)
    image = made(tiff(np.repeat(values, 8, 0)), value_range=(low, low + width))[0, :, 0].astype(int)
    assert (np.diff(image) >= 0).all()
    flat = values[0].astype(float)
    assert (image[flat <= low] == 0).all() and (image[flat >= low + width] == 255).all()
    inside = (flat > low) & (flat < low + width)
    assert np.abs(image[inside] - (flat[inside] - low) / width * 255).max(initial=0) <= 0.5 + 1e-3


def test_what_was_not_measured_is_zero():
    heights = np.linspace(-400, 3000, 48 * 64).reshape(48, 64).astype(np.float32)
    heights[3, 3], heights[4, 4], heights[5, 5], heights[6, 6] = np.nan, np.inf, -9999, 12345
    content = tiff(heights, extratags=[(42113, 's', 0, '-9999', True)])
    image = made(content, value_range=(-400, 3000), nodata=12345)
    assert all((image[at, at] == 0).all() for at in (3, 4, 5, 6))
    assert (np.delete(image[..., 0], range(8), 0) > 0).all()


@pytest.mark.parametrize('orientation', range(1, 9))
def test_deep_files_are_turned_as_8_bit_ones_are(orientation):
    plain = PHOTO[:60, :90]
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decode(content := encoded(Image.fromarray(plain), 'PNG', exif=exif), read_header(content))
    deep = tiff(plain.astype(np.uint16) * 257, extratags=[(274, 'H', 1, orientation, True)], photometric='rgb')
    assert np.array_equal(made(deep, value_range=(0, 65535)), turned)


@pytest.mark.parametrize('name', GOOD)
def test_an_8_bit_file_without_a_range_takes_the_fast_way(name):
    content = GOOD[name]
    header = read_header(content)
    assert Pixels().leaves(content, header)
    assert np.array_equal(made(content), decode(content, read_header(content)))


@pytest.mark.parametrize('name', [name for name in GOOD if 'grey' not in name and name not in ('bilevel', 'alpha')])
def test_one_channel_of_a_colour_file_is_its_luminance(name):
    expected = np.asarray(Image.open(io.BytesIO(GOOD[name])).convert('RGB').convert('L')).astype(int)
    assert np.abs(made(GOOD[name], channels=1)[..., 0] - expected).max() <= 2


def test_a_stated_range_holds_for_8_bits_too_unless_it_names_another_type():
    content = encoded(Image.fromarray(PHOTO[..., 0]), 'PNG')
    assert made(content, value_range=(50, 100)).max() == 255
    assert np.array_equal(made(content, value_range=dict(uint16=(50, 100)))[..., 0], PHOTO[..., 0])


@pytest.mark.parametrize('kind', ['uint16', 'int16', 'float32', 'int32'])
def test_values_without_a_range_are_refused_and_never_guessed(kind):
    with pytest.raises(UndecodableImage, match=f'{kind} numbers.*data.value_range') as caught:
        made(tiff(ramp(12).astype(kind)))
    assert caught.value.reason == 'other pixels than stated'


@pytest.mark.parametrize(
    ('bands', 'stated'), [(4, {}), (13, {}), (3, dict(channels=4)), (2, {}), (3, dict(bands=(3,)))]
)
def test_bands_that_are_not_as_stated_are_refused(bands, stated):
    content = tiff(np.zeros((bands, 20, 30), np.uint16), planarconfig='separate', photometric='minisblack')
    with pytest.raises(UndecodableImage, match=f'it has {bands} bands') as caught:
        made(content, value_range=(0, 1), **stated)
    assert caught.value.reason == 'other pixels than stated'


def test_transparency_is_a_band_only_where_four_are_asked_for():
    values = np.dstack([PHOTO, 255 - PHOTO[..., 0]])
    content = encoded(Image.fromarray(values, 'RGBA'), 'PNG')
    assert np.array_equal(made(content), PHOTO)
    assert np.array_equal(made(content, channels=4), values)
    deep = tiff(values.astype(np.uint16) * 257, photometric='rgb', extrasamples=['unassalpha'])
    assert np.array_equal(made(deep, value_range=(0, 65535)), PHOTO)


@pytest.mark.parametrize('share', [0.2, 0.5, 0.9])
@pytest.mark.parametrize('writer', ['png', 'tiff', 'tiff deflate', 'tiff tiles'])
def test_a_truncated_deep_file_is_refused(writer, share):
    content = WRITERS[writer](ramp(16, (200, 300)))
    with pytest.raises(UndecodableImage):
        made(content[: int(len(content) * share)], value_range=(0, 65535))


@pytest.mark.parametrize(
    ('stated', 'said'),
    [
        (dict(channels=0), 'at least 1'),
        (dict(bands=()), 'at least one band'),
        (dict(bands=(-1, 0)), 'counted from 0'),
        (dict(channels=2, bands=(0, 1, 2)), 'leave channels out'),
        (dict(value_range=(5, 5)), 'low < high'),
        (dict(value_range=[(0, 1), (0, 1)]), '3 channels'),
        (dict(value_range=dict(uint16=(9, 1))), 'low < high'),
    ],
)
def test_settings_that_make_no_image_are_refused(stated, said):
    with pytest.raises(ValueError, match=said):
        Pixels(**stated)


def test_settings_make_an_equal_object():
    pixels = Pixels(bands=(3, 1), value_range=dict(uint16=[(0, 5), (1, 7)]), nodata=0)
    assert Pixels(**pixels.settings()).settings() == pixels.settings()
    assert Pixels().settings() == {}
