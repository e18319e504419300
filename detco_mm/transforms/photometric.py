"""Colour jitter, grey, blur and flip on 8-bit RGB images: fast, and equal in distribution to torchvision's.

Everything stays in uint8. The arithmetic follows Pillow's, which torchvision calls, down to its truncation; the tests
compare the two. Random numbers come from NumPy's global state, which MMEngine seeds in each worker.
"""

from collections.abc import Callable

import cv2
import numpy as np

#: An 8-bit RGB image, (H, W, 3); brightness, contrast, blur and flip take any number of channels.
Image = np.ndarray


#: ITU-R 601-2 luma, as Pillow makes grey of RGB.
LUMA = (0.299, 0.587, 0.114)
# OpenCV rounds where Pillow truncates: a little less than half a value is taken off (half would lose whole values).
_TRUNCATE = -0.499


def adjust_brightness(image: Image, factor: float) -> Image:
    """Scale all values by ``factor``; 0 is black, 1 the image itself."""
    return cv2.addWeighted(image, factor, image, 0, _TRUNCATE)


def adjust_contrast(image: Image, factor: float) -> Image:
    """Move all values away from the mean luminance of the image; 0 is an even grey, 1 the image itself."""
    # Pillow rounds the mean to a whole grey value. Channels that are no colours count alike.
    if image.shape[-1] == 3:
        mean = int(np.dot(cv2.mean(image)[:3], LUMA) + 0.5)
    else:
        mean = int(cv2.mean(image.reshape(len(image), -1))[0] + 0.5)
    return cv2.addWeighted(image, factor, image, 0, mean * (1 - factor) + _TRUNCATE)


def adjust_saturation(image: Image, factor: float) -> Image:
    """Move all pixels away from their own luminance; 0 is grey, 1 the image itself."""
    return cv2.addWeighted(image, factor, to_grey(image), 1 - factor, _TRUNCATE)


def adjust_hue(image: Image, shift: float) -> Image:
    """Turn the hue by ``shift`` of a full circle, in -0.5 to 0.5."""
    # In floats: for 8 bits, OpenCV takes twice as long on the way back. It closes the circle above 360 degrees, not
    # below 0. The steps of the shift are torchvision's, which has 255 of them in a circle of 256.
    hsv = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)
    hues = hsv[..., 0]
    np.add(hues, 360 / 256 * (int(shift * 255) % 256), out=hues)
    return cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=hsv))


def to_grey(image: Image) -> Image:
    """Replace each pixel by its luminance, in three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def gaussian_blur(image: Image, sigma: float) -> Image:
    """Blur with a Gaussian of ``sigma`` pixels, cut at three sigma, reflected at the border."""
    # OpenCV's own GaussianBlur takes twice as long, for it promises the same bits on all machines.
    kernel = cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(image, -1, kernel, kernel)


def flip(image: Image) -> Image:
    """Mirror left and right."""
    return cv2.flip(image, 1)


_ADJUST: dict[str, Callable[[Image, float], Image]] = {
    'brightness': adjust_brightness,
    'contrast': adjust_contrast,
    'saturation': adjust_saturation,
    'hue': adjust_hue,
}


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
        self.ranges = {
            'brightness': (max(0.0, 1 - brightness), 1 + brightness),
            'contrast': (max(0.0, 1 - contrast), 1 + contrast),
            'saturation': (max(0.0, 1 - saturation), 1 + saturation),
            'hue': (-hue, hue),
        }
        self._steps = [(_ADJUST[name], low, high) for name, (low, high) in self.ranges.items() if low < high]

    def __call__(self, image: Image) -> Image:
        """Return the image itself or a changed copy."""
        if np.random.random() >= self.prob:
            return image
        for index in np.random.permutation(len(self._steps)):
            adjust, low, high = self._steps[index]
            image = adjust(image, between(low, high))
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
        return gaussian_blur(image, between(*self.sigma)) if np.random.random() < self.prob else image


def between(low: float, high: float) -> float:
    """Draw what ``np.random.uniform`` would, in a tenth of its 3 us, for an image takes thirty draws."""
    return low + (high - low) * np.random.random()


def check_probability(name: str, value: float) -> float:
    """Return ``value``, or raise a ValueError if it is no probability."""
    if not 0 <= value <= 1:
        raise ValueError(f'{name}={value} is no probability: set it between 0 (never) and 1 (always)')
    return float(value)
