"""Outlines and surface patterns of the embedded data's objects.

A class of the embedded set is a pair (outline, pattern). Every outline comes with two patterns and every pattern on two
outlines, so that neither alone names the class. The numbers in this file are drawn by eye: what matters is that a
20-pixel object still shows its pattern.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

OUTLINES = ('disc', 'box', 'star', 'cross')
PATTERNS = ('striped', 'checked', 'dotted', 'zigzag')
# Outline i wears patterns i and i + 1 (mod 4): eight of the sixteen pairs.
CLASSES = tuple((outline, PATTERNS[(i + j) % 4]) for i, outline in enumerate(OUTLINES) for j in range(2))
CLASS_NAMES = tuple(f'{pattern} {outline}' for outline, pattern in CLASSES)


def outline(name: str, rng: np.random.Generator) -> Array:
    """Draw one instance of an outline.

    Args:
        name: one of ``OUTLINES``, or ``'blob'`` and ``'triangle'``, which only clutter has.
        rng: source of the instance's proportions.

    Returns:
        (V, 2) vertices, within a circle of radius 1 about the origin, randomly turned, squeezed and sheared.

    Raises:
        ValueError: if the name is unknown.
    """
    if name == 'disc':
        points = _polar(np.ones(40))
    elif name == 'box':
        points = _polar(np.ones(4))
    elif name == 'triangle':
        points = _polar(np.ones(3))
    elif name == 'star':
        radii = np.ones(10)
        radii[1::2] = rng.uniform(0.4, 0.52)
        points = _polar(radii)
    elif name == 'cross':
        a = rng.uniform(0.28, 0.4)
        corner = np.array([[1, -a], [1, a], [a, a]])
        turns = [np.array([[0, -1], [1, 0]]) for _ in range(4)]
        points = np.concatenate([corner @ np.linalg.matrix_power(turn, k).T for k, turn in enumerate(turns)])
    elif name == 'blob':
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        waves = [rng.uniform(0.05, 0.22) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5)]
        points = _polar(1 + np.sum(waves, axis=0))
    else:
        raise ValueError(f'unknown outline {name!r}: choose one of {", ".join((*OUTLINES, "blob", "triangle"))}')
    turn, squeeze, shear = rng.uniform(0, 2 * np.pi), rng.uniform(0.72, 1.0), rng.uniform(-0.2, 0.2)
    points = points @ np.array([[1, shear], [0, squeeze]]).T @ _rotation(turn).T
    return (points / np.linalg.norm(points, axis=1).max()).astype(np.float32)


def pattern(name: str, x: Array, y: Array, diameter: float, rng: np.random.Generator) -> Array:
    """Evaluate one instance of a surface pattern.

    Args:
        name: one of ``PATTERNS``.
        x: (h, w) or broadcastable, pixels from the object's centre.
        y: as ``x``.
        diameter: of the object, in pixels; the pattern's period follows it.
        rng: source of the instance's period, direction, phase and warp.

    Returns:
        (h, w) weights in [0, 1] between the object's two colours.

    Raises:
        ValueError: if the name is unknown.
    """
    # Not below 5 pixels, where blur would leave nothing, nor above 16, where a large object would show two stripes.
    period = float(np.clip(diameter * rng.uniform(0.16, 0.3), 5.0, 16.0))
    turn = _rotation(rng.uniform(0, 2 * np.pi)) * (2 * np.pi / period)
    u = turn[0, 0] * x + turn[0, 1] * y + rng.uniform(0, 2 * np.pi)
    v = turn[1, 0] * x + turn[1, 1] * y + rng.uniform(0, 2 * np.pi)
    u = u + rng.uniform(0, 0.5) * np.sin(v / rng.uniform(2, 4))
    if name == 'striped':
        wave = np.sin(u)
    elif name == 'checked':
        wave = np.sin(u) * np.sin(v) * 1.5
    elif name == 'dotted':
        wave = np.cos(u) + np.cos(v) - 0.7
    elif name == 'zigzag':
        wave = np.sin(u + 1.6 * np.arcsin(np.sin(v)))
    else:
        raise ValueError(f'unknown pattern {name!r}: choose one of {", ".join(PATTERNS)}')
    return (0.5 + 0.5 * np.tanh(3 * wave)).astype(np.float32)


def _polar(radii: NDArray[np.floating]) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return np.stack([radii * np.cos(angle), radii * np.sin(angle)], axis=1)


def _rotation(angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])
