"""Pixels of any image file, the same whichever library decodes it."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from detco_mm.transforms import decoding
from tests.bad_files import encoded
from tests.transforms.photograph import GOOD, PHOTO


def decoded(content):
    """Return the RGB pixels that the pipeline makes of a file."""
    return decoding.decode(content, decoding.read_header(content))


@pytest.mark.parametrize('name', GOOD)
def test_an_image_of_any_kind_is_decoded_as_pillow_does(name):
    ours = decoded(GOOD[name]).astype(int)
    theirs = np.asarray(Image.open(io.BytesIO(GOOD[name])).convert('RGB')).astype(int)
    assert ours.shape == theirs.shape
    # The JPEG libraries of OpenCV and Pillow may round, and smooth chroma, differently.
    assert np.abs(ours - theirs).mean() < 1.5


@pytest.mark.parametrize('progressive', [False, True])
@pytest.mark.parametrize('subsampling', [0, 1, 2])
@pytest.mark.parametrize('quality', [30, 75, 90])
def test_whichever_library_decodes_a_colour_jpeg_the_bits_are_the_same(quality, subsampling, progressive):
    content = encoded(Image.fromarray(PHOTO), quality=quality, subsampling=subsampling, progressive=progressive)
    by_torchvision = decoding._torchvisions(content)
    by_opencv = cv2.cvtColor(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    by_pillow = np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))
    assert np.array_equal(by_torchvision, by_opencv) and np.array_equal(by_torchvision, by_pillow)
    assert np.array_equal(decoded(content), by_torchvision)


@pytest.mark.parametrize('mode', ['RGB', 'CMYK'], ids=['by torchvision', 'by Pillow'])
def test_the_exif_orientation_is_followed(mode):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image = Image.fromarray(PHOTO).convert(mode)
    upright, turned = decoded(encoded(image, quality=95)), decoded(encoded(image, quality=95, exif=exif))
    assert turned.shape == (PHOTO.shape[1], PHOTO.shape[0], 3)
    assert np.abs(np.rot90(upright, -1).astype(int) - turned).mean() < 1
