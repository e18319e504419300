"""Bytes of an image file -> 8-bit RGB pixels, or one clear reason why not; pixels of other kinds are for rasters.py.

OpenCV decodes twice as fast as Pillow, and torchvision colour JPEGs still faster, but they fill the missing part of a
truncated file with grey, in silence, and misread some rarer colour models. So Pillow reads the header, which is cheap,
and decodes what they would not.
"""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from detco_mm.checkpoints.starts import other_kind
from detco_mm.transforms.tiff import MAGIC, TiffHeader, read_tiff_header

#: OpenCV's flags by the factor that they divide both sides by; a JPEG is then decoded faster, not merely shrunk.
_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
#: Beyond this many pixels a file is taken for a decompression bomb: the limit at which Pillow refuses by default.
MAX_PIXELS = 2 * (1024**3 // 4 // 3)
#: A JPEG with more scans is made to keep a decoder busy for hours; usual are 1 to 12. libjpeg-turbo's fuzzers set this.
MAX_SCANS = 500
#: What the suffixes of ImageFolder stand for. Of the others that Pillow knows, EPS would start Ghostscript.
_FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM', 'JPEG2000')
#: Colour models that OpenCV reads as the same colours that Pillow does.
_OPENCV_MODES = {'1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'RGBX'}
_TILES = ': cut it with tools/make_tiles.py, which cuts its labels as well'
#: Why a file is skipped, in a few words to count by.
REASONS = (
    'not readable',
    'empty',
    'no known image format',
    'too many pixels',
    'truncated or damaged',
    'a codec is missing',
    'other pixels than stated',
)


class UndecodableImage(Exception):  # noqa: N818 - an ordinary outcome for a file, not a fault of the program
    """No image can be made of these bytes; the message is the reason.

    Args:
        reason: one of REASONS.
        details: a clause for the log.
    """

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(details)
        self.reason = reason


def read_header(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image | TiffHeader:
    """Open an image without decoding it.

    Args:
        data: The whole file.
        max_pixels: What an image may have; beyond :data:`MAX_PIXELS` Pillow refuses in any case.

    Returns:
        Pillow's image, not yet decoded; of a TIFF that Pillow does not know, its size.

    Raises:
        UndecodableImage: if the file is empty, of no format that Pillow knows, damaged at its start, or promises more
            pixels than the limit. OpenCV is not asked about such a file: of a corrupt PNG it reserves gigabytes.
    """
    if not data:
        raise UndecodableImage('empty', 'the file is empty')
    try:
        with _no_warnings():
            header = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise UndecodableImage(
            'too many pixels', f'it has more pixels than the limit of {max_pixels}{_TILES}'
        ) from error
    except UnidentifiedImageError as error:
        if data.startswith(MAGIC):
            return _tiff_header(data, max_pixels)
        other = other_kind(data[:64])
        said = (
            f'it {other}'
            if other and other != 'is an image'
            else f'it is no image in a format read here: {", ".join(_FORMATS)}'
        )
        raise UndecodableImage('no known image format', said) from error
    except Exception as error:  # whatever a damaged header makes Pillow's readers run into
        raise damaged(error) from error
    _check_size(header.width, header.height, max_pixels)
    if header.format in ('JPEG', 'MPO') and _has_too_many_scans(data):
        raise UndecodableImage('truncated or damaged', f'it has more than {MAX_SCANS} scans')
    return header


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise UndecodableImage(
            'too many pixels', f'it has {width}x{height} pixels, above the limit of {max_pixels} in all{_TILES}'
        )


def _tiff_header(data: bytes, max_pixels: int) -> TiffHeader:
    try:
        header = read_tiff_header(data)
    except Exception as error:  # as above
        raise damaged(error) from error
    _check_size(header.width, header.height, max_pixels)
    return header


def decode(data: bytes, header: Image.Image, reduce: int = 1) -> np.ndarray:
    """Decode an image to 8 bits and three channels, turned as its EXIF orientation says.

    While it lasts, up to 14 bytes a pixel are taken: CMYK and RGB in Pillow's four bytes, the copy that turns them, and
    the result.

    Args:
        data: The whole file.
        header: What :func:`read_header` returned for it.
        reduce: 1, 2, 4 or 8: divide both sides by this while decoding.

    Returns:
        (H, W, 3) uint8, RGB. Alpha is dropped. Only for files that :func:`detco_mm.transforms.rasters.is_plain` names.

    Raises:
        UndecodableImage: if the file is truncated or damaged.
    """
    if header.mode in _OPENCV_MODES and is_whole(data, header.format):
        if (header.format, header.mode, reduce) == ('JPEG', 'RGB', 1) and (image := _torchvisions(data)) is not None:
            return image
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[reduce])
        except cv2.error:
            image = None  # Pillow has the last word
        if image is not None:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    try:
        with _no_warnings():
            header.draft('RGB', (header.width // reduce, header.height // reduce))
            ImageOps.exif_transpose(header, in_place=True)
            rgb = np.array(header if header.mode == 'RGB' else header.convert('RGB'))
    except Exception as error:  # as above
        raise damaged(error) from error
    if not rgb.size:
        raise UndecodableImage('truncated or damaged', 'it has no pixels')
    return rgb


def _torchvisions(data: bytes) -> np.ndarray | None:
    """Decode a colour JPEG to the same bits as OpenCV and Pillow in two thirds of their time; None if it cannot."""
    try:
        from torchvision.io import ImageReadMode, decode_jpeg  # 0.4 s, spent in the data workers

        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        image = decode_jpeg(encoded, ImageReadMode.RGB, apply_exif_orientation=True)
        return np.ascontiguousarray(image.permute(1, 2, 0))  # a copy of a turned one alone
    except (ImportError, RuntimeError):
        return None  # OpenCV and then Pillow have the last word


def damaged(error: Exception) -> UndecodableImage:
    """Say that a file is damaged, in the words of the library that ran into it."""
    details = str(error) or type(error).__name__
    return UndecodableImage('truncated or damaged', f'it is truncated or damaged ({details})')


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep Pillow's remarks on large files and malformed EXIF, which name no file, from the log."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def is_whole(data: bytes, kind: str | None) -> bool:
    """Tell at a glance that a file ends as its format ends; where it does not, Pillow has the last word."""
    if kind == 'JPEG':
        return data.endswith(b'\xff\xd9')
    if kind == 'PNG':
        return data.endswith(b'IEND\xaeB`\x82')
    return kind == 'WEBP' and int.from_bytes(data[4:8], 'little') + 8 <= len(data)


#: A JPEG's marker. Before 0, 1 or 0xD0 to 0xD7 the 0xFF belongs to the pixels; others may stand before it to fill up.
_MARKER = re.compile(rb'\xff([^\x00\x01\xd0-\xd7\xff])')


def _has_too_many_scans(data: bytes) -> bool:
    """Go through a JPEG from marker to marker, to the end of the image."""
    if data.count(b'\xff\xda') <= MAX_SCANS:  # quick; but a video appended to the image holds the two bytes by chance
        return False
    at, scans = 2, 0
    while scans <= MAX_SCANS and (found := _MARKER.search(data, at)) and found[1] != b'\xd9':
        scans += found[1] == b'\xda'
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], 'big')
    return scans > MAX_SCANS
