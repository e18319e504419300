"""The one reader of image files: as a function, and as LoadImage, the first step of OpenMMLab's other pipelines."""

from os import PathLike
from typing import Any

import numpy as np

from detco_mm.registry import TRANSFORMS
from detco_mm.transforms import sources
from detco_mm.transforms.decoding import MAX_PIXELS, UndecodableImage, read_header
from detco_mm.transforms.pixels import Pixels


def read_file(path: str | PathLike, backend_args: dict | None = None) -> bytes:
    """Read the bytes of an image file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is a folder.
    """
    try:
        return sources.read(path, backend_args)
    except FileNotFoundError:
        raise FileNotFoundError(f'no image at "{path}": check the path') from None
    except IsADirectoryError:
        raise ValueError(f'"{path}" is a folder, where an image is expected') from None


def read_image(
    path: str | PathLike, pixels: Pixels, max_pixels: int = MAX_PIXELS, backend_args: dict | None = None
) -> np.ndarray:
    """Read an image file as pre-training does.

    Args:
        path: the file.
        pixels: which of its bands and values make the image.
        max_pixels: images with more are refused.
        backend_args: of MMEngine's file backends.

    Returns:
        (H, W, N) uint8; RGB if the file is.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: with the file's name, if it cannot be decoded or has other pixels than stated.
    """
    data = read_file(path, backend_args)
    try:
        return pixels.read(data, read_header(data, max_pixels))
    except UndecodableImage as error:
        raise ValueError(f'"{path}" cannot be used: {error}') from error


@TRANSFORMS.register_module()
class LoadImage:
    """Read ``img_path``, in the place of ``LoadImageFromFile``: the same pixels as in pre-training.

    Adds ``img``, (H, W, N), ``img_shape`` and ``ori_shape``, (H, W). Three channels come in reverse, RGB as BGR,
    which the ``bgr_to_rgb`` of MMDetection's configs undoes; any others in the order of the bands.

    Args:
        channels: as in :class:`Pixels`.
        bands: as in :class:`Pixels`.
        value_range: as in :class:`Pixels`.
        nodata: as in :class:`Pixels`.
        to_float32: whether ``img`` is float32 and not uint8, on the same scale 0..255.
        max_pixels: images with more are refused.
        backend_args: of MMEngine's file backends.

    Raises:
        ValueError: when called, with the file's name, if it cannot be decoded or has other pixels than stated.
    """

    def __init__(
        self,
        channels: int | None = None,
        bands: Any = None,
        value_range: Any = None,
        nodata: float | None = None,
        to_float32: bool = False,
        max_pixels: int = MAX_PIXELS,
        backend_args: dict | None = None,
    ) -> None:
        self.pixels = Pixels(channels, bands, value_range, nodata)
        self.to_float32 = to_float32
        self.max_pixels = max_pixels
        self.backend_args = backend_args

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image to ``results``."""
        image = read_image(results['img_path'], self.pixels, self.max_pixels, self.backend_args)
        if self.pixels.channels == 3:
            image = np.ascontiguousarray(image[..., ::-1])
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        """Return the class and what is stated of the pixels."""
        return f'{type(self).__name__}({self.pixels.settings()})'
