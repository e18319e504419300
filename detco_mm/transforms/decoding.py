"""Bytes of any image file -> 8-bit RGB pixels, or one clear reason why not.

OpenCV decodes twice as fast as Pillow but fills the missing part of a truncated file with grey, in silence, and
misreads some rarer colour models. So Pillow reads the header, which is cheap, and decodes what OpenCV would not.
"""

import io
import warnings

import cv2
import numpy as np
from PIL import Image, ImageOps

#: OpenCV's flags by the factor that they divide both sides by; a JPEG is then decoded faster, not merely shrunk.
_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
#: Beyond this many pixels a file is taken for a decompression bomb: the limit at which Pillow refuses by default.
MAX_PIXELS = 2 * (1024**3 // 4 // 3)
#: Colour models that OpenCV reads as the same colours that Pillow does.
_OPENCV_MODES = {'1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'RGBX'}


class UndecodableImage(Exception):  # noqa: N818 - an ordinary outcome for a file, not a fault of the program
    """No image can be made of these bytes; the message is the reason."""


def read_header(data: bytes) -> Image.Image | None:
    """Open an image without decoding it.

    Args:
        data: The whole file.

    Returns:
        Pillow's image, not yet decoded; None if Pillow does not know the format.

    Raises:
        UndecodableImage: if the file is empty or promises more pixels than :data:`MAX_PIXELS`.
    """
    if not data:
        raise UndecodableImage('the file is empty')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            header = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise UndecodableImage(f'it has more pixels than the limit of {MAX_PIXELS}') from error
    except (OSError, SyntaxError, ValueError):  # what Pillow's format plugins raise on damaged headers
        return None
    if header.width * header.height > MAX_PIXELS:
        raise UndecodableImage(f'it has {header.width}x{header.height} pixels, above the limit of {MAX_PIXELS} in all')
    return header


def decode(data: bytes, header: Image.Image | None, reduce: int = 1) -> np.ndarray:
    """Decode an image to 8 bits and three channels, turned as its EXIF orientation says.

    Args:
        data: The whole file.
        header: What :func:`read_header` returned for it.
        reduce: 1, 2, 4 or 8: divide both sides by this while decoding.

    Returns:
        (H, W, 3) uint8, RGB. Alpha is dropped and 16 bits are cut to the upper 8.

    Raises:
        UndecodableImage: if the file is truncated or damaged.
    """
    # Pillow clips values above 8 bits (modes I and F) where OpenCV scales them.
    if header is None or header.mode[0] in 'IF' or (header.mode in _OPENCV_MODES and _is_whole(data, header.format)):
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[reduce])
        except cv2.error as error:
            raise UndecodableImage(f'OpenCV cannot decode it ({error.err})') from error
        if image is not None:
            return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        if header is None:
            raise UndecodableImage('it is no image in a format that OpenCV or Pillow knows')
    try:
        header.draft('RGB', (header.width // reduce, header.height // reduce))
        rgb = ImageOps.exif_transpose(header).convert('RGB')
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise UndecodableImage(f'it is truncated or damaged ({error})') from error
    return np.array(rgb)


def _is_whole(data: bytes, kind: str | None) -> bool:
    """Tell at a glance that a file ends as its format ends; where it does not, Pillow has the last word."""
    if kind == 'JPEG':
        return data.endswith(b'\xff\xd9')
    if kind == 'PNG':
        return data.endswith(b'IEND\xaeB`\x82')
    return kind == 'WEBP' and int.from_bytes(data[4:8], 'little') + 8 <= len(data)
