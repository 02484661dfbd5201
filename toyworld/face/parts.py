"""The procedural head as one mesh: skin, two eyeballs, two rows of teeth and a tongue, with their atlas places."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int64, Shaped
from scipy.spatial import KDTree

from toyworld.face import layout as layout
from toyworld.face import rings as rings
from toyworld.face import sculpt as sculpt

SKIN, LEFT_EYE, RIGHT_EYE, UPPER_TEETH, LOWER_TEETH, TONGUE = range(6)
PLANE_EXTENT = 2.0
"""The atlas shows the azimuthal plane from -2 to 2; the corners outside the skin's disk hold the other parts."""

_CORNER = 1.69
EYE_RINGS = (9.0, 12.0, 23.5, 27.5, 45.0, 64.0, 82.0)
"""Angles (degrees from the pupil) of an eyeball's rings; the iris reaches 25.7."""
_EYE_SEGMENTS = 16


@dataclass(frozen=True)
class HeadMesh:
    """All vertices: rest position, atlas place (0..1, v up), part, the skin's kind, lip and ring, mirror partner."""

    points: Float[np.ndarray, "v 3"]
    atlas: Float[np.ndarray, "v 2"]
    part: Int64[np.ndarray, "v"]
    kind: Int64[np.ndarray, "v"]
    lip: Int64[np.ndarray, "v"]
    ring: Shaped[np.ndarray, "v"]
    mirror: Int64[np.ndarray, "v"]
    triangles: Int64[np.ndarray, "t 3"]
    keypoints: Int64[np.ndarray, "68"]


_Part = tuple[np.ndarray, np.ndarray, np.ndarray]


def _eyeball() -> _Part:
    """Left eyeball's cap: points, plane places, triangles."""
    turn = np.arange(_EYE_SEGMENTS) * 2 * np.pi / _EYE_SEGMENTS
    polar = np.concatenate([[0.0], np.repeat(np.radians(EYE_RINGS), _EYE_SEGMENTS)])
    around = np.concatenate([[0.0], np.tile(turn, len(EYE_RINGS))])
    flat = np.stack([np.cos(around), np.sin(around)], -1)
    direction = np.concatenate([flat * np.sin(polar)[:, None], np.cos(polar)[:, None]], -1)
    plane = _CORNER + 0.28 * flat * (polar / polar.max())[:, None]
    points = sculpt.EYE_CENTRE + sculpt.EYE_RADIUS * direction
    return points, plane, _polar_triangles(len(EYE_RINGS), _EYE_SEGMENTS)


def _polar_triangles(rings: int, segments: int) -> np.ndarray:
    here, following = np.arange(segments), (np.arange(segments) + 1) % segments
    faces = [np.stack([np.zeros(segments, int), 1 + here, 1 + following], -1)]
    for ring in range(rings - 1):
        a, b = 1 + ring * segments, 1 + (ring + 1) * segments
        faces += [
            np.stack([a + here, b + here, b + following], -1),
            np.stack([a + here, b + following, a + following], -1),
        ]
    return np.concatenate(faces).astype(np.int64)


def grid_triangles(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Triangles of a grid whose rows go down and columns to the right, seen from the front; they wrap if closed."""
    step = np.arange(columns if closed else columns - 1)
    a = (np.arange(rows - 1)[:, None] * columns + step).ravel()
    b = (np.arange(rows - 1)[:, None] * columns + (step + 1) % columns).ravel()
    faces = [np.stack([a, a + columns, b + columns], -1), np.stack([a, b + columns, b], -1)]
    return np.concatenate(faces).astype(np.int64)


def _teeth(upper: bool) -> _Part:
    """A row of teeth with its gum, on a parabola behind the lips: 3 rows of 13 vertices, downwards."""
    across, down = np.meshgrid(np.linspace(-1, 1, 13), np.arange(3))
    heights = np.array([0.125, 0.075, -0.018] if upper else [-0.030, -0.095, -0.16])
    places = np.array([0.26, 0.16, 0.03] if upper else [-0.03, -0.16, -0.26])
    front, width, curl = (0.250, 0.215, 0.012) if upper else (0.225, 0.200, -0.012)
    gum = down == (0 if upper else 2)
    x = width * np.sin(1.3 * across) / np.sin(1.3)
    y = rings.MOUTH_Y + heights[down] + curl * across**2
    z = front - 0.24 * across**2 - 0.05 * gum
    plane = np.stack([-_CORNER + 0.27 * across, -_CORNER + places[down]], -1)
    return np.stack([x, y, z], -1).reshape(-1, 3), plane.reshape(-1, 2), grid_triangles(3, 13)


def _tongue() -> _Part:
    """The tongue's upper side, from the root to the tip: 8 rows of 7 vertices."""
    across, along = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(0, 1, 8))
    width = 0.15 * np.sqrt(np.maximum(1 - (along * 0.92) ** 4, 0.02))
    y = rings.MOUTH_Y - 0.085 + 0.035 * (1 - across**2) - 0.05 * along**6
    points = np.stack([across * width, y, -0.22 + 0.44 * along - 0.03 * across**2], -1)
    plane = np.stack([_CORNER + 0.26 * across, -_CORNER + 0.26 * (1 - 2 * along)], -1)
    return points.reshape(-1, 3), plane.reshape(-1, 2), grid_triangles(8, 7)


def _mirror_part(part: _Part) -> _Part:
    flip3, flip2 = np.array([-1.0, 1, 1]), np.array([-1.0, 1])
    return part[0] * flip3, part[1] * flip2, part[2][:, ::-1]


@cache
def head_mesh() -> HeadMesh:
    """The whole head at rest."""
    skin = layout.skin()
    left = _eyeball()
    parts = [
        (skin.points, skin.plane, skin.triangles),
        left,
        _mirror_part(left),
        _teeth(True),
        _teeth(False),
        _tongue(),
    ]
    counts = [len(points) for points, _, _ in parts]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    extra = sum(counts[1:])
    points = np.concatenate([part[0] for part in parts])
    number = np.repeat(np.arange(len(parts)), counts)
    lip = np.concatenate([skin.lip, np.zeros(extra, np.int64)])
    kind = np.concatenate([skin.kind, np.full(extra, -1, np.int64)])
    ring = np.concatenate([skin.ring, np.full(extra, "", skin.ring.dtype)])
    return HeadMesh(
        points=points,
        atlas=np.concatenate([part[1] for part in parts]) / (2 * PLANE_EXTENT) + 0.5,
        part=number,
        kind=kind,
        lip=lip,
        ring=ring,
        mirror=_mirror_partners(points, number, skin.mirror),
        triangles=np.concatenate([part[2] + start for part, start in zip(parts, starts, strict=True)]),
        keypoints=skin.keypoints,
    )


def _mirror_partners(points: np.ndarray, part: np.ndarray, skin_mirror: np.ndarray) -> np.ndarray:
    partner = np.where(part == LEFT_EYE, RIGHT_EYE, np.where(part == RIGHT_EYE, LEFT_EYE, part))
    tree = KDTree(np.concatenate([points, 5.0 * part[:, None]], -1))
    mirrored = np.concatenate([points * [-1, 1, 1], 5.0 * partner[:, None]], -1)
    found = np.asarray(tree.query(mirrored)[1], dtype=np.int64)
    return np.concatenate([skin_mirror, found[len(skin_mirror) :]])
