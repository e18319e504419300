"""One scene of the embedded data: objects and clutter over a background, seen by an imperfect camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detco_mm.datasets.embedded.backgrounds import background, noise
from detco_mm.datasets.embedded.outlines import CLASSES, OUTLINES, PATTERNS, outline, pattern

Array = NDArray[np.float32]

# Of the part of an object inside the image, at least this share stays visible, so that no label is a guess.
MIN_VISIBLE = 0.45
MIN_INSIDE = 0.7
MIN_PIXELS = 60


@dataclass(frozen=True)
class SceneSpec:
    """What scenes are drawn from.

    Args:
        image_size: (width, height) in pixels.
        diameter: smallest and largest object, in pixels; drawn uniformly in the logarithm.
        objects: fewest and most labelled objects.
        clutter: fewest and most unlabelled things: class patterns on other outlines, class outlines without a pattern.
    """

    image_size: tuple[int, int] = (160, 128)
    diameter: tuple[float, float] = (20, 90)
    objects: tuple[int, int] = (2, 6)
    clutter: tuple[int, int] = (2, 5)

    def __post_init__(self) -> None:
        """Check the numbers where they arrive."""
        for name in ('image_size', 'diameter', 'objects', 'clutter'):
            if len(getattr(self, name)) != 2:
                raise ValueError(f'{name} of {getattr(self, name)} must be two numbers')
        for name in ('diameter', 'objects', 'clutter'):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f'{name} of {(low, high)} must be (fewest, most) with 0 <= fewest <= most')
        if min(self.image_size) < 32:
            raise ValueError(f'image_size of {self.image_size} must be at least 32 pixels a side')
        if not 12 <= self.diameter[0] <= self.diameter[1] <= min(self.image_size):
            raise ValueError(f'diameter of {self.diameter} must lie between 12 pixels, where patterns vanish, and the '
                             f'shorter side of image_size {self.image_size}')  # fmt: skip
        if self.objects[0] < 1:
            raise ValueError(f'objects of {self.objects} must begin at 1: a scene without a label trains nothing')


@dataclass(frozen=True)
class Scene:
    """An image and its labels.

    Args:
        image: (H, W, 3) uint8 RGB.
        masks: (M, H, W) bool, the visible part of each of the M objects; no two overlap.
        classes: (M,) indices into ``CLASSES``.
    """

    image: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    classes: tuple[int, ...]


def make_scene(spec: SceneSpec, first_class: int, rng: np.random.Generator) -> Scene:
    """Draw a scene.

    Args:
        spec: sizes and numbers.
        first_class: class of one of the objects; the others are random. It lets a split of a few images have every
            class.
        rng: source of everything else.

    Returns:
        the scene, with at least one object.
    """
    width, height = spec.image_size
    canvas = background(width, height, rng)
    owner = np.zeros((height, width), np.int16)  # 0 background, -1 clutter, k > 0 the object k
    classes: list[int] = []
    whole: list[int] = []
    todo = [int(rng.integers(len(CLASSES))) for _ in range(rng.integers(spec.objects[0], spec.objects[1] + 1) - 1)]
    todo += [-1] * int(rng.integers(spec.clutter[0], spec.clutter[1] + 1))
    # The first object is drawn first, on the empty scene, where it always finds a place.
    for class_ in (first_class, *rng.permutation(todo).tolist()):
        for _ in range(8):
            kind, worn = _kind(class_, rng)
            diameter = float(np.exp(rng.uniform(*np.log(spec.diameter))))
            centre = rng.uniform((0, 0), spec.image_size)
            vertices = outline(kind, rng) * np.float32(diameter / 2) + centre.astype(np.float32)
            placed = _place(vertices, owner, whole)
            if placed is None:
                continue
            window, alpha = placed
            _paint(canvas, window, alpha, centre, diameter, worn, rng)
            solid = alpha >= 0.5
            if class_ >= 0:
                classes.append(class_)
                whole.append(int(solid.sum()))
            owner[window][solid] = len(classes) if class_ >= 0 else -1
            break
    if not classes:  # never seen in practice: eight tries on an empty scene all fell outside
        return make_scene(spec, first_class, rng)
    masks = owner[None] == np.arange(1, len(classes) + 1, dtype=np.int16)[:, None, None]
    return Scene(_camera(canvas, rng), masks, tuple(classes))


def _kind(class_: int, rng: np.random.Generator) -> tuple[str, str]:
    """Outline and pattern of a class; clutter (-1) has one half of what makes a class, never both."""
    if class_ >= 0:
        return CLASSES[class_]
    if rng.random() < 0.5:
        return str(rng.choice(['blob', 'triangle'])), str(rng.choice(PATTERNS))
    return str(rng.choice(OUTLINES)), str(rng.choice(['plain', 'cloudy']))


def _place(vertices: Array, owner: NDArray[np.int16], whole: list[int]) -> tuple[tuple[slice, slice], Array] | None:
    """Window and alpha of a thing, or None where it would leave the image or hide an object too far."""
    height, width = owner.shape
    left, top = np.maximum(np.floor(vertices.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(vertices.max(axis=0)).astype(int) + 2, (width, height))
    if right - left < 3 or bottom - top < 3:
        return None
    mask = np.zeros((bottom - top, right - left), np.uint8)
    # OpenCV's fixed-point vertices, 4 fractional bits: edges at sixteenths of a pixel.
    fixed = np.round((vertices - np.array([left, top], np.float32)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], (255,), lineType=cv2.LINE_AA, shift=4)
    solid = mask >= 128
    if solid.sum() < max(MIN_PIXELS, MIN_INSIDE * cv2.contourArea(vertices)):
        return None
    window = (slice(top, bottom), slice(left, right))
    for hidden in set(owner[window][solid].tolist()) - {0, -1}:
        left_over = int((owner == hidden).sum()) - int((owner[window][solid] == hidden).sum())
        if left_over < max(MIN_VISIBLE * whole[hidden - 1], MIN_PIXELS):
            return None
    return window, mask.astype(np.float32) / np.float32(255)


def _paint(canvas: Array, window: tuple[slice, slice], alpha: Array, centre: NDArray[np.floating], diameter: float,
           worn: str, rng: np.random.Generator) -> None:  # fmt: skip
    rows, columns = window
    y, x = np.mgrid[rows, columns].astype(np.float32) - centre[::-1, None, None].astype(np.float32)
    if worn == 'cloudy':
        surface = noise(x.shape[1], x.shape[0], rng)
    else:
        one, other = _two_colours(rng)
        weight = pattern(worn, x, y, diameter, rng)[..., None] if worn in PATTERNS else np.zeros((*x.shape, 1))
        surface = (one + (other - one) * weight).astype(np.float32)
    tilt = rng.uniform(-0.35, 0.35, 2) / diameter
    surface *= (1 + 2 * (tilt[0] * x + tilt[1] * y))[..., None].astype(np.float32)
    under = canvas[window]
    if rng.random() < 0.5:  # a soft shadow, which moves the edge that the eye sees
        shadow = cv2.GaussianBlur(alpha, (0, 0), 2.0)
        shadow = np.roll(shadow, tuple(rng.integers(-3, 4, 2)), axis=(0, 1))
        under = under * (1 - 0.45 * shadow[..., None])
    canvas[window] = under + (surface - under) * alpha[..., None]


def _two_colours(rng: np.random.Generator) -> NDArray[np.float32]:
    """Two random RGB colours far enough apart for their pattern to survive the camera."""
    while True:
        colours = rng.uniform(0, 255, (2, 3)).astype(np.float32)
        if abs(float(np.diff(colours.mean(axis=1))[0])) > 50:
            return colours


def _camera(canvas: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Uneven light, defocus, noise, 8 bits."""
    height, width = canvas.shape[:2]
    across, down = rng.uniform(-0.3, 0.3, 2)
    light = 1 + across * np.linspace(-1, 1, width)[None] + down * np.linspace(-1, 1, height)[:, None]
    image = canvas * (light * rng.uniform(0.75, 1.15))[..., None].astype(np.float32)
    blur = rng.uniform(0, 1.1)
    if blur > 0.4:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(0, 9))
    return np.clip(image, 0, 255).astype(np.uint8)
