"""Backgrounds of the embedded data: crops of the photographs that ship inside scikit-image and scikit-learn."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.float32]

# (package, path inside it): each of them is part of the wheel, so nothing is fetched.
PHOTOGRAPHS = (
    *(('skimage', f'data/{name}') for name in (
        'astronaut.png', 'brick.png', 'camera.png', 'chelsea.png', 'coffee.png', 'coins.png', 'grass.png',
        'gravel.png', 'hubble_deep_field.jpg', 'ihc.png', 'motorcycle_left.png', 'rocket.jpg')),
    *(('sklearn', f'datasets/images/{name}') for name in ('china.jpg', 'flower.jpg')),
)  # fmt: skip


@lru_cache(maxsize=1)
def photographs() -> tuple[NDArray[np.uint8], ...]:
    """Load the photographs, once per process.

    Returns:
        RGB images, (H, W, 3) uint8 each.

    Raises:
        FileNotFoundError: if a package or its photograph is missing.
    """
    images = []
    for package, name in PHOTOGRAPHS:
        spec = find_spec(package)  # finds the folder without the cost of importing the package
        where = Path(spec.origin).parent / name if spec and spec.origin else None
        if where is None or not where.is_file():
            raise FileNotFoundError(f'no photograph {name} in the package {package}: the embedded data is made of it; '
                                    'install scikit-image and scikit-learn')  # fmt: skip
        with Image.open(where) as image:
            images.append(np.asarray(image.convert('RGB')))
    return tuple(images)


def background(width: int, height: int, rng: np.random.Generator) -> Array:
    """Draw a background: three in four a photograph's crop in random colours, else coloured noise.

    Args:
        width: in pixels.
        height: in pixels.
        rng: source of the choice.

    Returns:
        (height, width, 3) float32 RGB in [0, 255].
    """
    if rng.random() < 0.75:
        return recolour(_crop(width, height, rng), rng)
    return noise(width, height, rng)


def noise(width: int, height: int, rng: np.random.Generator) -> Array:
    """Draw cloudy noise of several octaves between two random colours.

    Args:
        width: in pixels.
        height: in pixels.
        rng: source of the noise.

    Returns:
        (height, width, 3) float32 RGB in [0, 255].
    """
    field = np.zeros((height, width), np.float32)
    for octave in range(1, 5):
        cells = rng.random((2**octave + 1, 2**octave + 1), dtype=np.float32)
        field += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) * rng.uniform(0.3, 1) / octave
    low, high = field.min(), field.max()
    weight = ((field - low) / max(high - low, 1e-6))[..., None]
    one, other = rng.uniform(0, 255, (2, 3)).astype(np.float32)
    return np.asarray(one + (other - one) * weight, np.float32)


def recolour(image: Array, rng: np.random.Generator) -> Array:
    """Permute and mix the channels, and change contrast and brightness, all at random.

    Args:
        image: (H, W, 3) float32 in [0, 255].
        rng: source of the change.

    Returns:
        an image of the same shape and range.
    """
    mix = np.eye(3)[rng.permutation(3)] * 0.75 + rng.uniform(0, 0.25, (3, 3))
    if rng.random() < 0.2:
        mix[:] = mix.mean(axis=0)
    mixed = image @ (mix / mix.sum(axis=1, keepdims=True)).T.astype(np.float32)
    mixed = (mixed - 128) * np.float32(rng.uniform(0.6, 1.1)) + np.float32(128 + rng.uniform(-30, 30))
    return np.asarray(np.clip(mixed, 0, 255), np.float32)


def _crop(width: int, height: int, rng: np.random.Generator) -> Array:
    photographs_ = photographs()
    photograph = photographs_[rng.integers(len(photographs_))]
    rows, columns = photograph.shape[:2]
    zoom = min(rng.uniform(0.6, 2.5), rows / height, columns / width)
    h, w = max(1, int(height * zoom)), max(1, int(width * zoom))
    top, left = rng.integers(rows - h + 1), rng.integers(columns - w + 1)
    crop = photograph[top : top + h, left : left + w]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    method = cv2.INTER_AREA if zoom > 1 else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(crop), (width, height), interpolation=method).astype(np.float32)
