"""TIFF files of any depth, sign, layout and number of bands, by tifffile."""

import contextlib
import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, EXTRASAMPLES, SAMPLEFORMAT

#: How a TIFF begins, BigTIFF's version number included.
MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
GDAL_NODATA = 42113  # the tag that GDAL writes
ORIENTATION = 274
#: More pages than any instrument has bands; a video is no image.
_MAX_PAGES = 1000
#: Deflate makes at most 1032 bytes of one (zlib's technical details); what promises more is damaged.
_MAX_EXPANSION = 1100
#: What the tag ExtraSamples says of a band that is a transparency: associated or not (TIFF 6.0, page 31).
_ALPHA = (1, 2)
#: Bits a sample that OpenCV returns as they are; it moves 10, 12 and 14 bits to the upper end of 16.
_OPENCV_BITS = (8, 16, 32)


class MissingCodec(Exception):  # noqa: N818 - a fact about the file and the machine
    """The compression is one that nothing installed can undo; the message says which and the way out."""


@dataclass(frozen=True)
class TiffHeader:
    """What is known of a TIFF that Pillow cannot open, named as Pillow names it.

    Args:
        width: in pixels.
        height: in pixels.
    """

    width: int
    height: int
    format: str = 'TIFF'
    mode: str = ''


@dataclass(frozen=True)
class Raster:
    """An image in its file's own numbers.

    Args:
        values: (H, W, B), turned as the orientation says.
        alpha: whether the last band is marked as transparency.
        nodata: the number that stands for "not measured", from GDAL's tag; None if none is named.
        more: further images of the file, which are not read.
    """

    values: np.ndarray
    alpha: bool = False
    nodata: float | None = None
    more: int = 0


def read_tiff_header(source: bytes | BinaryIO) -> TiffHeader:
    """Find the size of the first image of a TIFF without decoding it."""
    with _quiet(), tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
        series = _first_series(file)
        sizes = dict(zip(named_axes(series.axes, series.shape), series.shape, strict=True))
    return TiffHeader(sizes['X'], sizes['Y'])


def is_plain_tiff(image: Image.Image) -> bool:
    """Whether all of a TIFF that Pillow has opened is 8-bit colour or grey, perhaps with transparency."""
    tags = image.tag_v2  # type: ignore[attr-defined]  # of TiffImageFile
    depths, kinds = tags.get(BITSPERSAMPLE, (1,)), tags.get(SAMPLEFORMAT, (1,))
    hidden = [extra for extra in _tuple(tags.get(EXTRASAMPLES, ())) if extra not in _ALPHA]
    in_pages = image.mode == 'L' and bool(tags.next)  # bands may be pages; those of a book have colours, or one bit
    return max(_tuple(depths)) <= 8 and set(_tuple(kinds)) == {1} and not hidden and not in_pages


def read_tiff(data: bytes) -> Raster:
    """Read the first image of a TIFF: stripes or tiles, bands interleaved, in planes or as pages.

    Raises:
        MissingCodec: if its compression needs a package that is not installed.
        Exception: whatever a damaged file makes tifffile run into.
    """
    with _quiet(), tifffile.TiffFile(io.BytesIO(data)) as file:
        series = _first_series(file)
        page = series.keyframe
        try:
            values = series.asarray()
            values, more = bands_last(values, named_axes(series.axes, series.shape))
        except Exception as error:
            if 'imagecodecs' not in str(error) and not isinstance(error, ModuleNotFoundError):
                raise
            values, more = _by_others(data, page, error), 0
        alpha = bool(page.extrasamples) and page.extrasamples[-1] in _ALPHA
        tags = {code: page.tags[code].value for code in (GDAL_NODATA, ORIENTATION) if code in page.tags}
    nodata = str(tags.get(GDAL_NODATA, '')).strip(' \0')
    return Raster(turned(values, int(tags.get(ORIENTATION, 1))), alpha, float(nodata) if nodata else None, more)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tifffile's remarks on each malformed tag, which name no file, from the log."""
    log = logging.getLogger('tifffile')
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _first_series(file: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """Follow the chain of pages to its end before tifffile does, for which a damaged one may never end."""
    with contextlib.suppress(IndexError):
        for index in range(_MAX_PAGES):
            _ = file.pages[index]
        raise ValueError(f'it has {_MAX_PAGES} pages or more')
    series = file.series[0]
    if series.nbytes > _MAX_EXPANSION * file.filehandle.size:
        raise ValueError(f'it promises {series.nbytes} bytes and has {file.filehandle.size}')
    return series


def named_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Name the axes; an array saved without a word about its axes has its bands where it is shortest."""
    if len(shape) == 3 and axes[0] == 'Q' and shape[2] < min(shape[:2]):
        return 'YXS'
    return axes


def bands_last(values: np.ndarray, axes: str) -> tuple[np.ndarray, int]:
    """Order an array as (H, W, B).

    Args:
        values: as tifffile reads a series.
        axes: a letter for each axis: Y, X, S for samples; any others are pages.

    Returns:
        The array, and how many further images its pages hold; pages of one sample each are bands.
    """
    pages = [index for index, name in enumerate(axes) if name not in 'YXS']
    order = [*pages, axes.index('Y'), axes.index('X'), *([axes.index('S')] if 'S' in axes else [])]
    values = values.transpose(order)
    height_at = len(pages)
    values = values.reshape(-1, *values.shape[height_at:])
    if 'S' in axes:
        return values[0], len(values) - 1
    return np.moveaxis(values, 0, -1), 0


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, B) as the tag Orientation says: 1 is upright (TIFF 6.0, page 36)."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)


def _by_others(data: bytes, page: Any, error: Exception) -> np.ndarray:
    """Read what tifffile leaves to imagecodecs: LZW, JPEG and packed bits are known to Pillow and OpenCV as well."""
    import cv2

    values = None
    if page.samplesperpixel == 1 and page.bitspersample <= 16:
        try:
            with Image.open(io.BytesIO(data)) as image:
                values = np.array(image) if image.mode in ('L', 'I', 'I;16', 'I;16B') else None
        except Exception:
            values = None
        # Pillow has no signed type of 16 bits
        values = values.astype(page.dtype) if values is not None and page.dtype.kind == 'i' else values
    if values is None and page.bitspersample in _OPENCV_BITS and page.samplesperpixel <= 4:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        values = values if values is None or values.dtype == page.dtype else None
        if values is not None and values.ndim == 3:
            values = values[..., [2, 1, 0, *range(3, values.shape[2])]]
    if values is None:
        name = getattr(page.compression, 'name', page.compression)
        raise MissingCodec(
            f'its compression ({name}, {page.bitspersample} bits, {page.samplesperpixel} bands) is read by '
            'imagecodecs alone, which is not installed: pip install imagecodecs, or write the files anew with deflate, '
            'as gdal_translate -co COMPRESS=DEFLATE does'
        ) from error
    return values.reshape(*values.shape[:2], -1)


def _tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, tuple | list) else (value,)
