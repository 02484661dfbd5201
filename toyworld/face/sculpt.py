"""The neutral head as a smooth implicit surface: anatomical solids blended by a smooth union, in decimetres.

Proportions are those of an average adult (pupils 62 mm apart, eye line to mouth 67 mm, face 136 mm wide at the
cheekbones, chin 107 mm below the eyes), placed so that eyes, nose tip
and mouth lie where a recentred BFM09 has them.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float

from face3d.kernels import compiled
from toyworld.face.fields import Points, Values

CENTRE = np.array([0.0, 0.08, -0.45])
"""The head is star-shaped about this point; directions from it parametrise the skin."""

EYE_CENTRE = np.array([0.315, 0.285, 0.085])
"""Centre of the left eyeball (the person's left: x > 0)."""
EYE_RADIUS = 0.135
LID_THICKNESS = 0.018

_STEPS = 70
"""Steps of a ray at most; each goes three quarters of the distance, which is an estimate."""

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

_CARVINGS = (
    ("eye socket", (0.305, 0.285, 0.30), (0.20, 0.135, 0.155), 0.09),
    ("philtrum", (0.0, -0.225, 0.43), (0.022, 0.06, 0.03), 0.035),
    ("under the lip", (0.0, -0.515, 0.47), (0.20, 0.055, 0.11), 0.06),
)
"""Ellipsoids taken away: name, centre, radii, blend width."""

_SOLIDS = np.array([[*centre, *radii, width] for _, centre, radii, width in _ELLIPSOIDS])
_RODS = np.array([[*a, *b, radius_a, radius_b, width] for _, a, b, radius_a, radius_b, width in _CAPSULES])
_HOLLOWS = np.array([[*centre, *radii, width] for _, centre, radii, width in _CARVINGS])
_LID = np.array([*EYE_CENTRE, EYE_RADIUS + LID_THICKNESS, 0.035])


@compiled
@no_type_check
def _ellipsoid(x, y, z, solid):
    x, y, z = (x - solid[0]) / solid[3], (y - solid[1]) / solid[4], (z - solid[2]) / solid[5]
    length = (x * x + y * y + z * z) ** 0.5
    slope = ((x / solid[3]) ** 2 + (y / solid[4]) ** 2 + (z / solid[5]) ** 2) ** 0.5
    return length * (length - 1) / max(slope, 1e-9)


@compiled
@no_type_check
def _capsule(x, y, z, rod):
    ux, uy, uz = rod[3] - rod[0], rod[4] - rod[1], rod[5] - rod[2]
    x, y, z = x - rod[0], y - rod[1], z - rod[2]
    along = min(max((x * ux + y * uy + z * uz) / (ux * ux + uy * uy + uz * uz), 0.0), 1.0)
    x, y, z = x - along * ux, y - along * uy, z - along * uz
    return (x * x + y * y + z * z) ** 0.5 - (rod[6] + (rod[7] - rod[6]) * along)


@compiled
@no_type_check
def _union(a, b, width):
    overlap = max(width - abs(a - b), 0.0) / width
    return min(a, b) - overlap * overlap * width / 4


@compiled
@no_type_check
def _field(x, y, z, solids, rods, hollows, lid):
    """Signed distance, approximate, of one point; x >= 0."""
    field = _ellipsoid(x, y, z, solids[0])
    for k in range(1, solids.shape[0]):
        field = _union(field, _ellipsoid(x, y, z, solids[k]), solids[k, 6])
    for k in range(rods.shape[0]):
        field = _union(field, _capsule(x, y, z, rods[k]), rods[k, 8])
    for k in range(hollows.shape[0]):
        field = -_union(-field, _ellipsoid(x, y, z, hollows[k]), hollows[k, 6])
    ball = ((x - lid[0]) ** 2 + (y - lid[1]) ** 2 + (z - lid[2]) ** 2) ** 0.5 - lid[3]
    return _union(field, ball, lid[4])


@compiled
@no_type_check
def _fields(points, solids, rods, hollows, lid, out):
    for n in range(points.shape[0]):
        out[n] = _field(abs(points[n, 0]), points[n, 1], points[n, 2], solids, rods, hollows, lid)


@compiled
@no_type_check
def _march(points, direction, solids, rods, hollows, lid, steps):
    for n in range(points.shape[0]):
        for _ in range(steps):
            field = _field(abs(points[n, 0]), points[n, 1], points[n, 2], solids, rods, hollows, lid)
            if abs(field) < 1e-7:
                break
            for k in range(3):
                points[n, k] += 0.75 * field * direction[n, k]


def distance(points: Points) -> Values:
    """Signed distance, approximate, to the neutral skin; negative inside. The head is symmetric in x."""
    out = np.empty(points.shape[0])
    _fields(points, _SOLIDS, _RODS, _HOLLOWS, _LID, out)
    return out


def march(start: Points, direction: Points) -> Points:
    """Where rays first meet the skin; a ray that never does ends far along its way."""
    points = np.array(start, dtype=np.float64)
    _march(points, np.ascontiguousarray(direction), _SOLIDS, _RODS, _HOLLOWS, _LID, _STEPS)
    return points


def from_front(xy: Float[np.ndarray, "n 2"]) -> Points:
    """The skin's points at these frontal (x, y), seen from the front."""
    start = np.concatenate([xy, np.full_like(xy[..., :1], 1.0)], axis=-1)
    return march(start, np.broadcast_to([0.0, 0.0, -1.0], start.shape))


def from_plane(plane: Float[np.ndarray, "n 2"]) -> Points:
    """The skin's points at these places of the azimuthal plane (angle from the front in rad, as a vector)."""
    direction = plane_direction(plane)
    return march(CENTRE + 2.3 * direction, -direction)


def plane_direction(plane: Float[np.ndarray, "n 2"]) -> Points:
    """Unit directions from `CENTRE` of places in the azimuthal equidistant plane."""
    angle = np.linalg.norm(plane, axis=-1, keepdims=True)
    return np.concatenate([plane * np.sinc(angle / np.pi), np.cos(angle)], axis=-1)


def to_plane(points: Points) -> Float[np.ndarray, "n 2"]:
    """Places in the azimuthal equidistant plane of the directions from `CENTRE` to `points`."""
    offset = points - CENTRE
    across = np.linalg.norm(offset[..., :2], axis=-1, keepdims=True)
    return np.arctan2(across, offset[..., 2:]) * offset[..., :2] / np.maximum(across, 1e-9)
