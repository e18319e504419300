"""Images of any kind as pictures that people can look at: uint8 RGB."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from detco_mm.transforms.decoding import UndecodableImage, read_header
from detco_mm.transforms.loading import read_file
from detco_mm.transforms.pixels import Pixels
from detco_mm.transforms.rasters import is_plain, read_raster, stretched_grey

Array = npt.NDArray[np.uint8]


def drawable(path: str | Path, side: int | None = None) -> Array:
    """Read an image of any kind in three channels, to be looked at.

    Args:
        path: the file.
        side: longer side at most, in pixels; None for as it is.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be decoded.
    """
    data = read_file(path)
    try:
        header = read_header(data)
        if is_plain(data, header):
            image = Pixels().read(data, header)
        else:
            image = np.repeat(stretched_grey(read_raster(data, header).values)[..., None], 3, axis=2)
    except UndecodableImage as error:
        raise ValueError(f'"{path}" cannot be used: {error}') from error
    scale = side / max(image.shape[:2]) if side else 1
    if scale < 1:
        image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return image


def visible(image: Array) -> Array:
    """Make a picture of an image of N channels, (H, W, N) -> (H, W, 3): RGB as it is, all others grey, their mean."""
    if image.shape[2] == 3:
        return image
    return np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, axis=2)
