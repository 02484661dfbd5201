"""Where the procedural head's skin has its vertices: rings about eyes and mouth, a jaw line, and a filling in between.

Everything is laid out on the half x >= 0 and mirrored. The mouth's ring of contact is laid out slightly open, so that
the slit triangulates; its rest position is closed.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int64, Shaped
from scipy.spatial import Delaunay

from face3d import procedural_sculpt as sculpt
from face3d.compiled import compiled

PLANE_RADIUS = 1.95
"""The skin reaches this angle (rad) from the front: past the ears, over the top of the forehead, under the chin."""

MOUTH_Y = -0.375
MOUTH_HALF_WIDTH = 0.245
EYE_POINTS = 36
LIP_POINTS = 11

SKIN, VERMILION, MOUTH_BAG, LID_RIM = 0, 1, 2, 3


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


class _Half:
    """Vertices of one half, gathered in order; `names` remembers those that something else refers to."""

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.plane: list[np.ndarray] = []
        self.kind: list[int] = []
        self.lip: list[int] = []
        self.ring: list[str] = []
        self.names: dict[tuple[str, int], int] = {}

    def add(self, points: np.ndarray, plane: np.ndarray, kind: int, lip: np.ndarray | int = 0, name: str = "") -> None:
        lips = np.broadcast_to(lip, len(points))
        for index, (point, place) in enumerate(zip(points, plane, strict=True)):
            if name:
                self.names[name, index] = len(self.points)
            self.points.append(point)
            self.plane.append(place)
            self.kind.append(kind)
            self.ring.append(name)
            self.lip.append(int(lips[index]))


def eye_loop(grow_x: float, grow_up: float, grow_down: float) -> Float[np.ndarray, "36 2"]:
    """Frontal (x, y) of a ring about the left eye; anticlockwise from the outer corner. (0, 0, 0) is the lid margin."""
    angle = np.arange(EYE_POINTS) * 2 * np.pi / EYE_POINTS
    cosine, sine = np.cos(angle), np.sin(angle)
    half = 0.155 + grow_x * np.where(cosine < 0, 0.55 if grow_x > 0 else 1.0, 1.0)
    up = 0.070 * np.maximum(sine, 0) ** 0.85 * (1 - 0.10 * cosine) + grow_up * np.maximum(sine, 0)
    down = 0.045 * np.maximum(-sine, 0) * (1 + 0.25 * cosine) + grow_down * np.maximum(-sine, 0)
    x = 0.313 + half * cosine
    slope = 0.278 + 0.012 * cosine
    return np.stack([x, slope + up - down], axis=-1)


def lip_border_upper(t: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Height of the upper vermilion border above the mouth line at t = |x| / half width."""
    bow = 0.012 * np.exp(-(((t - 0.22) / 0.14) ** 2)) - 0.010 * np.exp(-((t / 0.12) ** 2))
    return 0.074 * (1 - t**1.9) ** 0.9 + bow


def lip_border_lower(t: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Depth of the lower vermilion border below the mouth line."""
    return 0.092 * (1 - t**2.2) ** 0.8


def mouth_line(t: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Height y of the closed lips' line of contact."""
    return MOUTH_Y + 0.010 * (1 - t**2) - 0.008 * np.exp(-((t / 0.2) ** 2)) - 0.004 * t**4


def _lip_parameter() -> tuple[np.ndarray, np.ndarray]:
    """Half loop from the corner over the upper lip's middle is split: t and side for upper then lower points."""
    upper = np.sin(np.linspace(np.pi / 2, 0, LIP_POINTS))
    return np.concatenate([upper, upper[1:]]), np.concatenate([np.ones(LIP_POINTS), -np.ones(LIP_POINTS - 1)])


def _lip_ring(share: float, grow: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, height from the mouth line, side) at `share` of the vermilion (0 contact, 1 border), or `grow` beyond it."""
    t, side = _lip_parameter()
    height = np.where(side > 0, lip_border_upper(t), -lip_border_lower(t)) * share
    width = MOUTH_HALF_WIDTH + 0.010 * share + grow
    return width * t, height + side * grow * np.sqrt(np.maximum(1 - t**2, 0)) * 0.9, side


def _mouth(half: _Half) -> None:
    t, _ = _lip_parameter()
    line = mouth_line(t)
    for number, grow in enumerate((0.03, 0.07, 0.115)):
        x, height, side = _lip_ring(1.0, grow)
        points = sculpt.from_front(np.stack([x, line + height], -1))
        half.add(points, sculpt.to_plane(points), SKIN, side.astype(int), f"mouth{number}")
    for share, bulge, name in _VERMILION_RINGS:
        x, height, side = _lip_ring(share, 0.0)
        points = sculpt.from_front(np.stack([x, line + height], -1))
        points[:, 2] += bulge * np.sqrt(np.maximum(1 - t**2, 0.0)) * np.where(side > 0, 0.85, 1.1) - 0.012 * t**6
        half.add(points, _opened(0.4 + 0.6 * share), VERMILION, side.astype(int), name)
    _mouth_inside(half, t, line)


_VERMILION_RINGS = ((1.0, 0.006, "border"), (0.7, 0.030, "lip1"), (0.36, 0.042, "lip2"))


def _opened(share: float) -> np.ndarray:
    """Place in the plane of the lip ring at this share of the vermilion in the opened layout."""
    x, height, _ = _lip_ring(share, 0.0)
    t, _ = _lip_parameter()
    return sculpt.to_plane(sculpt.from_front(np.stack([x, mouth_line(t) + height], -1)))


def _mouth_inside(half: _Half, t: np.ndarray, line: np.ndarray) -> None:
    _, side = _lip_parameter()
    front = sculpt.from_front(np.stack([MOUTH_HALF_WIDTH * t, line], -1))
    bow = np.sqrt(np.maximum(1 - t**2, 0.0))
    rings = (("contact", 0.0, 0.026, 0.40, 1.0), ("inner1", 0.004, -0.030, 0.30, 0.97),
             ("vestibule", 0.085, -0.075, 0.20, 0.95), ("deep", 0.06, -0.42, 0.09, 0.80))  # fmt: skip
    for name, height, forward, opened, width in rings:
        points = front * np.array([width, 1, 1])
        points[:, 1] = line + side * height * bow
        points[:, 2] += forward * (0.4 + 0.6 * bow) - 0.012 * t**6
        kind = VERMILION if name == "contact" else MOUTH_BAG
        half.add(points, _opened(opened), kind, side.astype(int), name)


_LID_RINGS = (
    (0.17, 0.135, 0.15, 0.0), (0.11, 0.10, 0.105, 0.38), (0.07, 0.07, 0.07, 0.62), (0.04, 0.042, 0.042, 0.8),
    (0.016, 0.020, 0.02, 0.92),
)  # fmt: skip
"""Growth of the rings about the eye sideways, up and down, and their share of the way to the lid margin in the plane."""


def _eye(half: _Half) -> None:
    outer, margin = (
        sculpt.to_plane(sculpt.from_front(eye_loop(*grow))) for grow in (_LID_RINGS[0][:3], (0.0, 0.0, 0.0))
    )
    for number, (x, up, down, share) in enumerate(_LID_RINGS):
        points = sculpt.from_front(eye_loop(x, up, down))
        half.add(points, outer + share * (margin - outer), SKIN, 0, f"lid{number}")
    for name, shrink, lift in (("margin", 0.0, LID_LIFT), ("rim", 0.008, 0.002), ("under", 0.05, -0.03)):
        points = sculpt.from_front(eye_loop(-shrink, -0.4 * shrink, -0.3 * shrink))
        plane = margin + shrink * 3 * (margin.mean(0) - margin)
        half.add(_on_eyeball(points, lift), plane, SKIN if name == "margin" else LID_RIM, 0, name)


LID_LIFT = 0.016


def _on_eyeball(points: np.ndarray, lift: float) -> np.ndarray:
    """The points moved along z to lie `lift` off the eyeball, where it is under them; elsewhere a little sunk."""
    offset = points - sculpt.EYE_CENTRE
    inside = (sculpt.EYE_RADIUS + lift) ** 2 - (offset[:, :2] ** 2).sum(-1)
    z = np.sqrt(np.maximum(inside, 0.05**2)) + sculpt.EYE_CENTRE[2]
    moved = points.copy()
    moved[:, 2] = z
    return moved


JAW_LINE = np.array(
    [[0.735, 0.20, -0.52], [0.72, 0.03, -0.47], [0.69, -0.15, -0.42], [0.64, -0.32, -0.36], [0.56, -0.46, -0.25],
     [0.45, -0.58, -0.10], [0.31, -0.68, 0.04], [0.16, -0.755, 0.17], [0.0, -0.785, 0.22]]
)  # fmt: skip
"""Directions of iBUG's points 16 to 8: from the left ear down to the chin."""

_BROWS = np.array([[0.09, 0.445], [0.20, 0.492], [0.32, 0.512], [0.43, 0.495], [0.535, 0.435]])
_NOSE = np.array(
    [[0.0, 0.30], [0.0, 0.185], [0.0, 0.07], [0.0, -0.045], [0.0, -0.152], [0.055, -0.142], [0.112, -0.128]]
)


def _landmarks(half: _Half) -> None:
    jaw = sculpt.from_plane(sculpt.to_plane(JAW_LINE))
    half.add(jaw, sculpt.to_plane(jaw), SKIN, 0, "jaw")
    for name, xy in (("brow", _BROWS), ("nose", _NOSE)):
        points = sculpt.from_front(xy)
        half.add(points, sculpt.to_plane(points), SKIN, 0, name)


def _spacing(points: np.ndarray) -> np.ndarray:
    """How far apart filling vertices lie: fine about nose, brows and mouth, coarse at the back."""
    nose = np.exp(-(((points[:, 0]) / 0.20) ** 2 + ((points[:, 1] + 0.06) / 0.16) ** 2)) * (points[:, 2] > 0.1)
    front = 1 / (1 + np.exp(-(points[:, 2] + 0.1) / 0.12))
    return 0.092 - 0.046 * front - 0.019 * nose


def _fill(half: _Half) -> None:
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


def _accept(half: _Half, candidates: np.ndarray) -> None:
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


def _free_of_holes(plane: np.ndarray, half: _Half) -> np.ndarray:
    return ~_inside(plane, _polygon(half, "lid0", EYE_POINTS)) & ~_inside(plane, _mouth_outline(half, "mouth2"))


def _mouth_outline(half: _Half, name: str) -> np.ndarray:
    """A ring about the half mouth, closed beyond the middle line."""
    ring, last = _polygon(half, name, 2 * LIP_POINTS - 1), LIP_POINTS - 1
    beyond = [[-0.1, ring[last, 1]], [-0.1, ring[-1, 1]]]
    return np.concatenate([ring[: last + 1], beyond, ring[:last:-1]])


def _polygon(half: _Half, name: str, count: int) -> np.ndarray:
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
    half = _Half()
    _mouth(half)
    _eye(half)
    _landmarks(half)
    _fill(half)
    points, plane = np.array(half.points), np.array(half.plane)
    middle = plane[:, 0] < 1e-6
    plane[middle, 0] = points[middle, 0] = 0.0
    triangles = _triangulate(half, plane)
    return _mirrored(half, points, plane, triangles, middle)


EYE_RINGS = ("lid1", "lid2", "lid3", "lid4", "margin", "rim", "under")
MOUTH_RINGS = ("mouth1", "mouth0", "border", "lip1", "lip2", "contact", "inner1", "vestibule", "deep")


def _triangulate(half: _Half, plane: np.ndarray) -> np.ndarray:
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


def _ring(half: _Half, name: str, indices: np.ndarray) -> np.ndarray:
    return np.array([half.names[name, int(i)] for i in indices])


def _between(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Triangles of the strip between two lines of as many vertices."""
    a, b, c, d = outer[:-1], outer[1:], inner[:-1], inner[1:]
    return np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)])


def _eye_triangles(half: _Half) -> np.ndarray:
    loop = np.append(np.arange(EYE_POINTS), 0)
    rings = [_ring(half, name, loop) for name in EYE_RINGS]
    return np.concatenate([_between(a, b) for a, b in pairwise(rings)])


def _mouth_triangles(half: _Half) -> np.ndarray:
    upper = np.arange(LIP_POINTS)
    lower = np.append(0, np.arange(LIP_POINTS, 2 * LIP_POINTS - 1))
    strips = [
        _between(_ring(half, a, side), _ring(half, b, side))
        for a, b in pairwise(MOUTH_RINGS)
        for side in (upper, lower)
    ]
    back = _between(_ring(half, MOUTH_RINGS[-1], upper), _ring(half, MOUTH_RINGS[-1], lower))
    return np.concatenate([*strips, back])


def _mirrored(half: _Half, points: np.ndarray, plane: np.ndarray, triangles: np.ndarray, middle: np.ndarray) -> Skin:
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
