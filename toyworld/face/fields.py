"""Smooth fields over the head's points, the strokes with which its movements and its variety are drawn."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "n 3"]
Values = Float[np.ndarray, "n"]


def blob(points: Points, centre: Sequence[float], radius: float | Sequence[float]) -> Values:
    """A Gaussian of 1 at `centre`; `radius` is its standard deviation, one number or one for each axis."""
    scaled = (points - np.asarray(centre)) / np.asarray(radius)
    return np.exp(-0.5 * (scaled**2).sum(-1))


def pair(points: Points, centre: Sequence[float], radius: float | Sequence[float]) -> Values:
    """A blob and its mirror image in x, without counting the middle twice."""
    folded = np.concatenate([np.abs(points[:, :1]), points[:, 1:]], -1)
    return blob(folded, centre, radius)


def ramp(values: Float[np.ndarray, "*n"], start: float, end: float) -> Float[np.ndarray, "*n"]:
    """Smooth step: 0 at `start`, 1 at `end` (which may be the smaller)."""
    t = np.clip((values - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def push(weight: Values, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Points:
    """A displacement along one vector, weighted."""
    return weight[:, None] * np.array([x, y, z])


def outward(points: Points, weight: Values, amount: float) -> Points:
    """A displacement away from the middle plane, growing smoothly from zero on it."""
    return push(weight * np.tanh(points[:, 0] / 0.08), x=amount)


def harmonic(points: Points, rng: np.random.Generator, wavelength: float, symmetric: bool) -> Points:
    """A smooth random displacement of unit order with about that wavelength, symmetric in x if asked."""
    folded = points.copy()
    if symmetric:
        folded[:, 0] = np.sqrt(points[:, 0] ** 2 + 0.02)
    waves = rng.normal(size=(3, 3)) * 2 * np.pi / wavelength / np.sqrt(3)
    phase = rng.uniform(0, 2 * np.pi, 3)
    field = np.sin(folded @ waves.T + phase)
    if symmetric:
        field[:, 0] *= np.tanh(points[:, 0] / 0.15)
    return field
