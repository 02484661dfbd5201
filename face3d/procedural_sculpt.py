"""The neutral head as a smooth implicit surface: anatomical solids blended by a smooth union, in decimetres.

Proportions are those of an average adult (pupils 62 mm apart, eye line to mouth 67 mm, face 136 mm wide at the
cheekbones, chin 107 mm below the eyes), placed so that eyes, nose tip
and mouth lie where a recentred BFM09 has them.
"""

import numpy as np
from jaxtyping import Float

Points = Float[np.ndarray, "*n 3"]
Values = Float[np.ndarray, "*n"]

CENTRE = np.array([0.0, 0.08, -0.45])
"""The head is star-shaped about this point; directions from it parametrise the skin."""

EYE_CENTRE = np.array([0.315, 0.285, 0.085])
"""Centre of the left eyeball (the person's left: x > 0)."""
EYE_RADIUS = 0.135
LID_THICKNESS = 0.018

_ELLIPSOIDS = (
    ("cranium", (0.0, 0.50, -0.60), (0.74, 0.86, 0.93), 0.10),
    ("forehead", (0.0, 0.58, -0.17), (0.55, 0.40, 0.50), 0.10),
    ("face", (0.0, -0.02, -0.30), (0.64, 0.74, 0.62), 0.10),
    ("jaw", (0.0, -0.36, -0.22), (0.53, 0.40, 0.52), 0.10),
    ("muzzle", (0.0, -0.35, 0.07), (0.33, 0.24, 0.285), 0.10),
    ("chin", (0.0, -0.645, 0.15), (0.16, 0.14, 0.16), 0.10),
    ("cheekbone", (0.44, 0.08, -0.05), (0.19, 0.13, 0.19), 0.12),
    ("cheek", (0.36, -0.16, 0.02), (0.22, 0.22, 0.20), 0.14),
)
"""Name, centre, radii, and the width of its blend with what came before; paired solids are given for x > 0."""

_CAPSULES = (
    ("brow ridge", (0.07, 0.43, 0.245), (0.42, 0.45, 0.12), 0.075, 0.085, 0.09),
    ("jaw line", (0.50, -0.40, -0.36), (0.14, -0.70, 0.08), 0.09, 0.09, 0.10),
    ("nose bridge", (0.0, 0.33, 0.225), (0.0, -0.02, 0.42), 0.055, 0.085, 0.075),
    ("nose tip", (0.0, -0.045, 0.455), (0.0, -0.05, 0.457), 0.092, 0.092, 0.05),
    ("ala", (0.118, -0.085, 0.335), (0.10, -0.08, 0.36), 0.058, 0.058, 0.045),
    ("columella", (0.0, -0.135, 0.38), (0.0, -0.085, 0.46), 0.045, 0.05, 0.04),
)
"""Name, ends, radii at the ends, blend width."""

_SOCKET = ((0.305, 0.285, 0.30), (0.20, 0.135, 0.155), 0.09)
_PHILTRUM = ((0.0, -0.225, 0.43), (0.022, 0.06, 0.03), 0.035)
_SUBLABIAL = ((0.0, -0.515, 0.47), (0.20, 0.055, 0.11), 0.06)


def _ellipsoid(points: Points, centre: tuple[float, ...], radii: tuple[float, ...]) -> Values:
    scaled = (points - np.asarray(centre)) / np.asarray(radii)
    length = np.linalg.norm(scaled, axis=-1)
    slope = np.linalg.norm(scaled / np.asarray(radii), axis=-1)
    return length * (length - 1) / np.maximum(slope, 1e-9)


def _capsule(points: Points, a: tuple[float, ...], b: tuple[float, ...], radius_a: float, radius_b: float) -> Values:
    start, axis = np.asarray(a), np.asarray(b) - np.asarray(a)
    along = np.clip((points - start) @ axis / (axis @ axis), 0, 1)
    distance = np.linalg.norm(points - start - along[..., None] * axis, axis=-1)
    return distance - (radius_a + (radius_b - radius_a) * along)


def _union(a: Values, b: Values, width: float) -> Values:
    overlap = np.maximum(width - np.abs(a - b), 0) / width
    return np.minimum(a, b) - overlap**2 * width / 4


def distance(points: Points, lids: bool = True) -> Values:
    """Signed distance, approximate, to the neutral skin; negative inside. The head is symmetric in x."""
    folded = points * np.array([1.0, 1.0, 1.0])
    folded[..., 0] = np.abs(folded[..., 0])
    field = _ellipsoid(folded, _ELLIPSOIDS[0][1], _ELLIPSOIDS[0][2])
    for _, centre, radii, width in _ELLIPSOIDS[1:]:
        field = _union(field, _ellipsoid(folded, centre, radii), width)
    for _, a, b, radius_a, radius_b, width in _CAPSULES:
        field = _union(field, _capsule(folded, a, b, radius_a, radius_b), width)
    for centre, radii, width in (_SOCKET, _PHILTRUM, _SUBLABIAL):
        field = -_union(-field, _ellipsoid(folded, centre, radii), width)
    if lids:
        ball = np.linalg.norm(folded - EYE_CENTRE, axis=-1) - EYE_RADIUS - LID_THICKNESS
        field = _union(field, ball, 0.035)
    return field


def march(start: Points, direction: Points, steps: int = 70) -> Points:
    """Where rays first meet the skin; a ray that never does ends far along its way."""
    travelled = np.zeros(start.shape[:-1])
    for _ in range(steps):
        travelled += 0.75 * distance(start + travelled[..., None] * direction)
    return start + travelled[..., None] * direction


def from_front(xy: Float[np.ndarray, "*n 2"]) -> Points:
    """The skin's points at these frontal (x, y), seen from the front."""
    start = np.concatenate([xy, np.full_like(xy[..., :1], 1.0)], axis=-1)
    return march(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))


def from_plane(plane: Float[np.ndarray, "*n 2"]) -> Points:
    """The skin's points at these places of the azimuthal plane (angle from the front in rad, as a vector)."""
    direction = plane_direction(plane)
    return march(CENTRE + 2.3 * direction, -direction)


def plane_direction(plane: Float[np.ndarray, "*n 2"]) -> Points:
    """Unit directions from `CENTRE` of places in the azimuthal equidistant plane."""
    angle = np.linalg.norm(plane, axis=-1, keepdims=True)
    return np.concatenate([plane * np.sinc(angle / np.pi), np.cos(angle)], axis=-1)


def to_plane(points: Points) -> Float[np.ndarray, "*n 2"]:
    """Places in the azimuthal equidistant plane of the directions from `CENTRE` to `points`."""
    offset = points - CENTRE
    across = np.linalg.norm(offset[..., :2], axis=-1, keepdims=True)
    return np.arctan2(across, offset[..., 2:]) * offset[..., :2] / np.maximum(across, 1e-9)
