"""Colour jitter, grey, blur and flip on 8-bit RGB images: fast, and equal in distribution to torchvision's.

Everything stays in uint8. The arithmetic follows Pillow's, which torchvision calls, down to its truncation; the tests
compare the two. Random numbers come from NumPy's global state, which MMEngine seeds in each worker.
"""

from collections.abc import Callable

import cv2
import numpy as np

#: An 8-bit RGB image, (H, W, 3).
Image = np.ndarray


def adjust_brightness(image: Image, factor: float) -> Image:
    """Scale all values by ``factor``; 0 is black, 1 the image itself."""
    return _blend_with_constant(image, 0, factor)


def adjust_contrast(image: Image, factor: float) -> Image:
    """Move all values away from the mean luminance of the image; 0 is an even grey, 1 the image itself."""
    red, green, blue, _ = cv2.mean(image)
    # ITU-R 601-2 luma, the weights of Pillow's mode "L"; Pillow rounds the mean to a whole grey value.
    return _blend_with_constant(image, int(0.299 * red + 0.587 * green + 0.114 * blue + 0.5), factor)


def adjust_saturation(image: Image, factor: float) -> Image:
    """Move all pixels away from their own luminance; 0 is grey, 1 the image itself."""
    # OpenCV rounds where Pillow truncates: a little less than half a value is taken off (half would lose whole values).
    return cv2.addWeighted(image, factor, to_grey(image), 1 - factor, -0.49)


def adjust_hue(image: Image, shift: float) -> Image:
    """Turn the hue by ``shift`` of a full circle, in -0.5 to 0.5."""
    # The FULL variant puts the circle on 0..255, so that uint8 wraps where the circle closes. One row of shifts is
    # added to flat rows: the addition stays contiguous, and arrays of one type never overflow in NumPy 2.
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    height, width, _ = hsv.shape
    turn = np.tile(np.array([int(shift * 255) % 256, 0, 0], dtype=np.uint8), width)
    turned = np.add(hsv.reshape(height, width * 3), turn, dtype=np.uint8).reshape(height, width, 3)
    return cv2.cvtColor(turned, cv2.COLOR_HSV2RGB_FULL)


def to_grey(image: Image) -> Image:
    """Replace each pixel by its luminance, in three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def gaussian_blur(image: Image, sigma: float) -> Image:
    """Blur with a Gaussian of ``sigma`` pixels, cut at three sigma, reflected at the border."""
    return cv2.GaussianBlur(image, (0, 0), sigma)


def flip(image: Image) -> Image:
    """Mirror left and right."""
    return cv2.flip(image, 1)


class ColourJitter:
    """Brightness, contrast, saturation and hue, each by a random amount, in random order.

    Args:
        brightness: Half-width of the range of factors around 1, cut at 0.
        contrast: The same for the contrast.
        saturation: The same for the saturation.
        hue: Half-width of the range of shifts around 0, in full circles, at most 0.5.
        prob: How often the image is changed at all.

    Raises:
        ValueError: if an amount is out of its range.

    Source: torchvision's ColorJitter in a RandomApply, with the values of MoCo v2's ``--aug-plus``.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
        prob: float = 0.8,
    ) -> None:
        for name, value in (('brightness', brightness), ('contrast', contrast), ('saturation', saturation)):
            if value < 0:
                raise ValueError(f'colour jitter {name}={value} is negative: set it to 0 (off) or above')
        if not 0 <= hue <= 0.5:
            raise ValueError(f'colour jitter hue={hue} is outside 0..0.5, in full circles: 0.1 is MoCo v2 (0 is off)')
        self.prob = check_probability('colour_jitter.prob', prob)
        self._steps: list[tuple[Callable[[Image, float], Image], float, float]] = [
            (adjust_brightness, max(0.0, 1 - brightness), 1 + brightness),
            (adjust_contrast, max(0.0, 1 - contrast), 1 + contrast),
            (adjust_saturation, max(0.0, 1 - saturation), 1 + saturation),
            (adjust_hue, -hue, hue),
        ]

    def __call__(self, image: Image) -> Image:
        """Return the image itself or a changed copy."""
        if np.random.random() >= self.prob:
            return image
        for index in np.random.permutation(len(self._steps)):
            adjust, low, high = self._steps[index]
            if low < high:
                image = adjust(image, np.random.uniform(low, high))
        return image


class GaussianBlur:
    """A blur of random strength.

    Args:
        sigma: Range of the standard deviation, in pixels.
        prob: How often the image is changed at all.

    Raises:
        ValueError: if the range is empty or not positive.

    Source: MoCo v2, ``moco.loader.GaussianBlur`` in a RandomApply.
    """

    def __init__(self, sigma: tuple[float, float] = (0.1, 2.0), prob: float = 0.5) -> None:
        if not 0 < sigma[0] <= sigma[1]:
            raise ValueError(f'blur sigma={tuple(sigma)} is no range of positive pixels: write (lowest, highest)')
        self.sigma = (float(sigma[0]), float(sigma[1]))
        self.prob = check_probability('blur.prob', prob)

    def __call__(self, image: Image) -> Image:
        """Return the image itself or a blurred copy."""
        return gaussian_blur(image, np.random.uniform(*self.sigma)) if np.random.random() < self.prob else image


def check_probability(name: str, value: float) -> float:
    """Return ``value``, or raise a ValueError if it is no probability."""
    if not 0 <= value <= 1:
        raise ValueError(f'{name}={value} is no probability: set it between 0 (never) and 1 (always)')
    return float(value)


def _blend_with_constant(image: Image, constant: int, factor: float) -> Image:
    """Return ``constant + factor * (image - constant)``, cut to 0..255 and truncated, by a table of 256 values."""
    table = constant + factor * (np.arange(256, dtype=np.float32) - constant)
    return cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8))
