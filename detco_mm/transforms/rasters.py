"""Bytes of any image file -> its own numbers: whatever depth and number of bands it has."""

import re

import cv2
import numpy as np
from PIL import Image

from detco_mm.transforms.decoding import UndecodableImage, damaged, is_whole
from detco_mm.transforms.tiff import MissingCodec, Raster, TiffHeader, is_plain_tiff, read_tiff, turned

Header = Image.Image | TiffHeader
#: Formats that hold 8 bits a channel and nothing else, as far as Pillow opens them.
_EIGHT_BITS = ('JPEG', 'MPO', 'WEBP', 'GIF', 'BMP')
_NETPBM = re.compile(rb'P[2356]\s(?:\s|#[^\n]*\n)*\d+\s(?:\s|#[^\n]*\n)*\d+\s(?:\s|#[^\n]*\n)*(\d+)')
_START_OF_CODESTREAM = b'\xff\x4f\xff\x51'
#: From a JPEG 2000's start to the depth of its first component (ISO 15444-1, A.5.1).
_TO_DEPTH = 42


def is_plain(data: bytes, header: Header) -> bool:
    """Whether :func:`detco_mm.transforms.decoding.decode` loses nothing of a file but transparency.

    Pillow tells of 16-bit colours in PNG, TIFF, PPM and JPEG 2000 as of 8-bit ones, so the files themselves are asked.

    Args:
        data: the whole file.
        header: what :func:`detco_mm.transforms.decoding.read_header` returned for it.
    """
    if header.format in _EIGHT_BITS:
        return True
    if not isinstance(header, Image.Image) or header.mode[:1] in ('I', 'F'):
        return False
    if header.format == 'PNG':
        return data[24] <= 8  # IHDR's bit depth
    if header.format == 'TIFF':
        return is_plain_tiff(header)
    if header.format == 'PPM':
        highest = _NETPBM.match(data)
        return highest is None or int(highest[1]) <= 255
    depth_at = data.find(_START_OF_CODESTREAM) + _TO_DEPTH
    return depth_at >= len(data) or data[depth_at] & 0x7F < 8  # one less than the depth; the upper bit is the sign


def read_raster(data: bytes, header: Header) -> Raster:
    """Read the values of a file as they are.

    Args:
        data: the whole file.
        header: what :func:`detco_mm.transforms.decoding.read_header` returned for it.

    Returns:
        Bands in the file's order, RGB for colours; turned as the EXIF orientation says.

    Raises:
        UndecodableImage: if the file is truncated or damaged, or a codec is missing.
    """
    try:
        if header.format == 'TIFF' and not (isinstance(header, Image.Image) and is_plain_tiff(header)):
            raster = read_tiff(data)
        elif is_plain(data, header):
            raster = _by_pillow(header)  # type: ignore[arg-type]  # only TIFF has another header
        else:
            raster = _by_opencv(data, header)  # type: ignore[arg-type]
    except MissingCodec as error:
        raise UndecodableImage('a codec is missing', str(error)) from error
    except Exception as error:  # whatever a damaged file makes the readers run into
        raise damaged(error) from error
    if not raster.values.size or raster.values.dtype.kind not in 'buif':
        kind = f'{raster.values.dtype} numbers' if raster.values.size else 'no pixels'
        raise UndecodableImage('truncated or damaged', f'it has {kind}, which make no image')
    return raster


def stretched_grey(values: np.ndarray) -> np.ndarray:
    """Make any bands one grey picture, to be looked at or compared: (H, W, B) -> (H, W) uint8.

    Their mean is stretched between its own percentiles 0.5 and 99.5, in each file anew.
    """
    with np.errstate(invalid='ignore', over='ignore'):
        grey = np.nan_to_num(values.astype(np.float32), nan=0, posinf=0, neginf=0).mean(-1)
    low, high = np.percentile(grey, (0.5, 99.5))
    return ((grey - low) * (255 / max(high - low, 1e-12))).clip(0, 255).astype(np.uint8)


def _by_pillow(image: Image.Image) -> Raster:
    if image.mode not in ('L', 'LA', 'RGB', 'RGBA'):
        image = image.convert('L' if image.mode == '1' else 'RGB')
    values = np.array(image)
    alpha = image.mode in ('LA', 'RGBA')
    return Raster(turned(values.reshape(*values.shape[:2], -1), image.getexif().get(0x0112, 1)), alpha)


def _by_opencv(data: bytes, image: Image.Image) -> Raster:
    if not is_whole(data, image.format):
        image.load()  # which raises if a part is missing; OpenCV would fill it
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError('OpenCV does not decode it')
    values = values.reshape(*values.shape[:2], -1)
    if values.shape[2] >= 3:
        values = values[..., [2, 1, 0, *range(3, values.shape[2])]]
    return Raster(turned(values, image.getexif().get(0x0112, 1)), values.shape[2] in (2, 4))
