"""The procedural head's skin: the rings about eyes and mouth, a filling between them, triangles, keypoints, mirror."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int64, Shaped
from scipy.spatial import Delaunay

from face3d.kernels import compiled
from toyworld.face import sculpt as sculpt
from toyworld.face.rings import EYE_POINTS, LIP_POINTS, SKIN, HalfSkin, add_eye, add_landmarks, add_mouth

PLANE_RADIUS = 1.95
"""The skin reaches this angle (rad) from the front: past the ears, over the top of the forehead, under the chin."""


@dataclass(frozen=True)
class Skin:
    """The skin's vertices: rest position, place in the azimuthal plane, kind, lip (+1 upper, -1 lower, 0 none)."""

    points: Float[np.ndarray, "v 3"]
    plane: Float[np.ndarray, "v 2"]
    kind: Int64[np.ndarray, "v"]
    lip: Int64[np.ndarray, "v"]
    ring: Shaped[np.ndarray, "v"]
    """Name of the ring that a vertex belongs to (`margin`, `lid4`, `border`, `contact`, ...), or empty."""
    triangles: Int64[np.ndarray, "t 3"]
    keypoints: Int64[np.ndarray, "68"]
    mirror: Int64[np.ndarray, "v"]


def _spacing(points: np.ndarray) -> np.ndarray:
    """How far apart filling vertices lie: fine about nose, brows and mouth, coarse at the back."""
    nose = np.exp(-(((points[:, 0]) / 0.20) ** 2 + ((points[:, 1] + 0.06) / 0.16) ** 2)) * (points[:, 2] > 0.1)
    front = 1 / (1 + np.exp(-(points[:, 2] + 0.1) / 0.12))
    return 0.092 - 0.046 * front - 0.019 * nose


def _fill(half: HalfSkin) -> None:
    step = 0.020
    grid = np.arange(0, PLANE_RADIUS + step, step)
    x, y = np.meshgrid(grid, np.arange(-PLANE_RADIUS, PLANE_RADIUS + step, step))
    candidates = np.stack([x, y], -1).reshape(-1, 2)
    candidates[:, 0] += np.where(
        (np.round(candidates[:, 1] / step).astype(int) % 2 == 1) & (candidates[:, 0] > 0), step / 2, 0
    )
    radius = np.linalg.norm(candidates, axis=-1)
    rim = np.linspace(-np.pi / 2, np.pi / 2, 49)
    edge = PLANE_RADIUS * np.stack([np.cos(rim), np.sin(rim)], -1)
    edge[[0, -1], 0] = 0
    middle = np.stack([np.zeros(900), np.linspace(-PLANE_RADIUS, PLANE_RADIUS, 900)], -1)
    inside = candidates[(radius < PLANE_RADIUS - 0.05) & (candidates[:, 0] > 0.02)]
    for block in (edge[[0, -1]], edge, middle, inside):
        _accept(half, block)


def _accept(half: HalfSkin, candidates: np.ndarray) -> None:
    """Add the candidates, in order, that keep their spacing from all that is there already."""
    candidates = candidates[_free_of_holes(candidates, half)]
    points, there = sculpt.from_plane(candidates), sculpt.from_plane(np.array(half.plane))
    chosen = np.zeros(len(points), dtype=np.bool_)
    _choose(np.concatenate([there, points]), _spacing(points) ** 2, len(there), chosen)
    half.add(points[chosen], candidates[chosen], SKIN)


@compiled
@no_type_check
def _choose(points, spacing, there, chosen):
    """Mark candidates (those from `there` on) at least their squared spacing from the first and the chosen points."""
    for n in range(chosen.shape[0]):
        free = True
        for m in range(there + n):
            if m < there or chosen[m - there]:
                x, y = points[m, 0] - points[there + n, 0], points[m, 1] - points[there + n, 1]
                z = points[m, 2] - points[there + n, 2]
                if x * x + y * y + z * z < spacing[n]:
                    free = False
                    break
        chosen[n] = free


def _free_of_holes(plane: np.ndarray, half: HalfSkin) -> np.ndarray:
    return ~_inside(plane, _polygon(half, "lid0", EYE_POINTS)) & ~_inside(plane, _mouth_outline(half, "mouth2"))


def _mouth_outline(half: HalfSkin, name: str) -> np.ndarray:
    """A ring about the half mouth, closed beyond the middle line."""
    ring, last = _polygon(half, name, 2 * LIP_POINTS - 1), LIP_POINTS - 1
    beyond = [[-0.1, ring[last, 1]], [-0.1, ring[-1, 1]]]
    return np.concatenate([ring[: last + 1], beyond, ring[:last:-1]])


def _polygon(half: HalfSkin, name: str, count: int) -> np.ndarray:
    return np.array([half.plane[half.names[name, i]] for i in range(count)])


def _inside(places: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which places lie in the polygon (even-odd rule)."""
    a, b = polygon[None], np.roll(polygon, -1, axis=0)[None]
    p = places[:, None]
    straddles = (a[..., 1] > p[..., 1]) != (b[..., 1] > p[..., 1])
    height = np.where(b[..., 1] == a[..., 1], 1.0, b[..., 1] - a[..., 1])
    crossing = a[..., 0] + (p[..., 1] - a[..., 1]) * (b[..., 0] - a[..., 0]) / height
    return (np.sum(straddles & (p[..., 0] < crossing), axis=1) % 2).astype(bool)


@cache
def skin() -> Skin:
    """The whole skin, both halves."""
    half = HalfSkin()
    add_mouth(half)
    add_eye(half)
    add_landmarks(half)
    _fill(half)
    points, plane = np.array(half.points), np.array(half.plane)
    middle = plane[:, 0] < 1e-6
    plane[middle, 0] = points[middle, 0] = 0.0
    triangles = _triangulate(half, plane)
    return _mirrored(half, points, plane, triangles, middle)


EYE_RINGS = ("lid1", "lid2", "lid3", "lid4", "margin", "rim", "under")
MOUTH_RINGS = ("mouth1", "mouth0", "border", "lip1", "lip2", "contact", "inner1", "vestibule", "deep")


def _triangulate(half: HalfSkin, plane: np.ndarray) -> np.ndarray:
    """Delaunay between the rings, ring to ring about eye and mouth; counter-clockwise in the plane."""
    within = {*EYE_RINGS[1:], *MOUTH_RINGS[1:]}
    outside = np.flatnonzero([ring not in within for ring in half.ring])
    filling = outside[Delaunay(plane[outside]).simplices]
    centres = plane[filling].mean(1)
    covered = _inside(centres, _polygon(half, EYE_RINGS[0], EYE_POINTS))
    covered |= _inside(centres, _mouth_outline(half, MOUTH_RINGS[0]))
    triangles = np.concatenate([filling[~covered], _eye_triangles(half), _mouth_triangles(half)])
    a, b, c = (plane[triangles[:, i]] for i in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    triangles[area < 0] = triangles[area < 0][:, ::-1]
    return triangles[np.abs(area) > 1e-12]


def _ring(half: HalfSkin, name: str, indices: np.ndarray) -> np.ndarray:
    return np.array([half.names[name, int(i)] for i in indices])


def _between(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Triangles of the strip between two lines of as many vertices."""
    a, b, c, d = outer[:-1], outer[1:], inner[:-1], inner[1:]
    return np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)])


def _eye_triangles(half: HalfSkin) -> np.ndarray:
    loop = np.append(np.arange(EYE_POINTS), 0)
    rings = [_ring(half, name, loop) for name in EYE_RINGS]
    return np.concatenate([_between(a, b) for a, b in pairwise(rings)])


def _mouth_triangles(half: HalfSkin) -> np.ndarray:
    upper = np.arange(LIP_POINTS)
    lower = np.append(0, np.arange(LIP_POINTS, 2 * LIP_POINTS - 1))
    strips = [
        _between(_ring(half, a, side), _ring(half, b, side))
        for a, b in pairwise(MOUTH_RINGS)
        for side in (upper, lower)
    ]
    back = _between(_ring(half, MOUTH_RINGS[-1], upper), _ring(half, MOUTH_RINGS[-1], lower))
    return np.concatenate([*strips, back])


def _mirrored(half: HalfSkin, points: np.ndarray, plane: np.ndarray, triangles: np.ndarray, middle: np.ndarray) -> Skin:
    count, sided = len(points), np.flatnonzero(~middle)
    other = np.arange(count)
    other[sided] = count + np.arange(len(sided))
    both = lambda a: np.concatenate([a, a[sided]])  # noqa: E731
    flip = np.concatenate([np.ones(count), -np.ones(len(sided))])
    whole, places = both(points), both(plane)
    whole[:, 0] *= flip
    places[:, 0] *= flip
    return Skin(
        points=whole,
        plane=places,
        kind=both(np.array(half.kind)),
        lip=both(np.array(half.lip)),
        ring=both(np.array(half.ring)),
        triangles=np.concatenate([triangles, other[triangles][:, ::-1]]),
        keypoints=_keypoints(half.names, other),
        mirror=np.concatenate([other, sided]),
    )


def _keypoints(names: dict[tuple[str, int], int], other: np.ndarray) -> np.ndarray:
    left = lambda name, *indices: [names[name, i] for i in indices]  # noqa: E731
    right = lambda name, *indices: [int(other[names[name, i]]) for i in indices]  # noqa: E731
    last = LIP_POINTS - 1
    quarter, half_way, inside = 8, 6, 7
    jaw = right("jaw", *range(8)) + left("jaw", 8, *reversed(range(8)))
    brows = right("brow", 4, 3, 2, 1, 0) + left("brow", 0, 1, 2, 3, 4)
    nose = left("nose", 0, 1, 2, 3) + right("nose", 6, 5) + left("nose", 4, 5, 6)
    eyes = right("margin", 0, 6, 12, 18, 24, 30) + left("margin", 18, 12, 6, 0, 30, 24)
    low = lambda i: last + i  # noqa: E731
    outer = (
        right("border", 0, half_way, quarter) + left("border", last, quarter, half_way, 0)
        + left("border", low(half_way), low(quarter), low(last)) + right("border", low(quarter), low(half_way))
    )  # fmt: skip
    inner = (
        right("contact", 0, inside) + left("contact", last, inside, 0)
        + left("contact", low(inside), low(last)) + right("contact", low(inside))
    )  # fmt: skip
    return np.array(jaw + brows + nose + eyes + outer + inner, dtype=np.int64)
