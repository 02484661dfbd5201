"""Geometry that an actor has and the morphable model has not: hair, ears, neck and shoulders.

Everything is in the rest head's frame (decimetres) and follows the actor's identity through the model's own fields.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int64

from toyworld.appearance import Look
from toyworld.face import sculpt as sculpt
from toyworld.face.fields import ramp
from toyworld.face.parts import grid_triangles

HAIR, EAR, NECK = 0, 1, 2

_HAIR_CENTRE = np.array([0.0, 0.35, -0.50])
_COLUMNS, _ROWS = 48, 22
NECK_RINGS = np.array(
    [[-0.42, 0.42, 0.22, -0.55, 1.0], [-0.66, 0.425, 0.33, -0.52, 1.0], [-0.84, 0.435, 0.43, -0.49, 0.75],
     [-0.98, 0.46, 0.46, -0.50, 0.45], [-1.10, 0.53, 0.49, -0.50, 0.22], [-1.18, 0.70, 0.50, -0.50, 0.1],
     [-1.26, 1.00, 0.50, -0.49, 0.0], [-1.36, 1.42, 0.52, -0.48, 0.0], [-1.52, 1.75, 0.57, -0.46, 0.0],
     [-1.80, 1.88, 0.63, -0.45, 0.0], [-2.40, 1.90, 0.66, -0.45, 0.0]]
)  # fmt: skip
"""Height, half width, half depth, z of the middle, and share of the head's rotation, of each ring from jaw to chest."""
_NECK_SEGMENTS = 36


@dataclass(frozen=True)
class Extras:
    """Added vertices: rest position, atlas place (x in 1..1.5), material, share of the head's rotation, triangles."""

    points: Float[np.ndarray, "v 3"]
    atlas: Float[np.ndarray, "v 2"]
    material: Int64[np.ndarray, "v"]
    follows: Float[np.ndarray, "v"]
    triangles: Int64[np.ndarray, "t 3"]


_Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def hair_coverage(points: Float[np.ndarray, "n 3"], look: Look) -> Float[np.ndarray, "n"]:
    """Signed distance-like measure (decimetres) of how far inside the hair's outline points of the scalp are."""
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    peak = (
        0.90
        + look.hairline
        - 0.10 * (x / 0.5) ** 2
        + 0.06 * np.exp(-(((x - 0.34) / 0.12) ** 2)) * (1 + 4 * look.hairline)
    )
    front = y - peak
    side = np.minimum(-0.20 + 0.42 * (y - 0.2) - z, y - 0.02 - 0.25 * ramp(z, -0.35, -0.6))
    nape = np.minimum(-0.62 - z, y + 0.35)
    return np.maximum(np.maximum(front, side), nape)


SHELL = {
    "bald": (-0.05, -0.05), "cropped": (0.012, 0.018), "short": (0.035, 0.085), "parted": (0.05, 0.12),
    "voluminous": (0.14, 0.22), "bob": (0.09, 0.11), "long": (0.085, 0.10), "tied": (0.025, 0.045),
}  # fmt: skip
"""Thickness of the hair at the sides and on top, by style."""
_CURTAIN_END = {"bob": -0.62, "long": -1.75}


@cache
def _scalp() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions about the skull's middle, the skin's points there, and (turn, fall) of the grid."""
    turn, fall = np.meshgrid(np.linspace(0, 2 * np.pi, _COLUMNS, endpoint=False), np.linspace(0.02, 2.05, _ROWS))
    direction = np.stack([np.sin(fall) * np.sin(turn), np.cos(fall), np.sin(fall) * np.cos(turn)], -1).reshape(-1, 3)
    start = _HAIR_CENTRE + 2.2 * direction
    return direction, sculpt.march(start, -direction), np.stack([turn, fall], -1).reshape(-1, 2)


def _shell(look: Look) -> _Part:
    direction, skin, place = _scalp()
    sides, top = SHELL[look.hair]
    rng = np.random.default_rng(look.seed)
    waves = sum(np.sin(place @ rng.normal(0, 3.0, 2) + rng.uniform(0, 6.3)) for _ in range(4)) / 4
    inside = ramp(hair_coverage(skin, look) + 0.015 * waves, -0.01, 0.16)
    volume = sides + (top - sides) * ramp(skin[:, 1], 0.5, 1.2)
    volume = volume * (look.hair_volume if volume.max() > 0.02 else 1.0) * (1 + 0.18 * waves)
    crest = np.exp(-(((skin[:, 0] - 0.3 * look.parting) / 0.05) ** 2)) * ramp(skin[:, 1], 0.9, 1.1)
    volume = volume * (1 - 0.5 * crest * (look.hair in ("parted", "long", "bob")))
    sunk = -0.05 - 0.40 * ramp(hair_coverage(skin, look), -0.05, -0.30)
    points = skin + direction * (sunk + inside * (volume - sunk))[:, None]
    atlas = np.stack([1.01 + 0.48 * np.abs(place[:, 0] / np.pi - 1), 0.98 - 0.46 * place[:, 1] / 2.05], -1)
    triangles = grid_triangles(_ROWS, _COLUMNS, closed=True)[:, ::-1]
    return points, atlas, np.full(len(points), HAIR), np.ones(len(points)), triangles


def _curtain(look: Look, end: float) -> _Part:
    """Hair that hangs behind and beside the face: an arc about the head, open in front."""
    rows, columns = 12, 30
    arc, down = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(0, 1, rows))
    turn = np.pi + arc * (0.5 * np.pi + 0.42)
    y = 0.62 + (end - 0.62) * down
    width = 0.80 + 0.05 * look.hair_volume + 0.05 * np.sin(np.pi * np.minimum(down * 1.3, 1)) - 0.05 * down**3
    depth = 1.00 - 0.22 * ramp(down, 0.25, 0.8)
    inward = np.where(np.abs(arc) > 0.93, 0.05, 0.0)
    points = np.stack([(width - inward) * np.sin(turn), y, -0.50 + depth * np.cos(turn) * 0.95], -1).reshape(-1, 3)
    atlas = np.stack([1.01 + 0.48 * np.abs(arc), 0.95 - 0.40 * down], -1).reshape(-1, 2)
    follows = (1 - 0.75 * ramp(down, 0.45, 1.0)).ravel()
    return points, atlas, np.full(rows * columns, HAIR), follows, grid_triangles(rows, columns)


def _bun(look: Look) -> _Part:
    turn, fall = np.meshgrid(np.linspace(0, 2 * np.pi, 14, endpoint=False), np.linspace(0.05, 3.05, 8))
    ball = np.stack([np.sin(fall) * np.sin(turn), np.cos(fall), np.sin(fall) * np.cos(turn)], -1).reshape(-1, 3)
    points = np.array([0.0, 1.42, -0.95]) + ball * 0.27 * look.hair_volume
    atlas = np.stack([1.01 + 0.48 * turn / 6.3, 0.95 - 0.4 * fall / 3.1], -1).reshape(-1, 2)
    return points, atlas, np.full(len(points), HAIR), np.ones(len(points)), grid_triangles(8, 14, closed=True)


def _ear(look: Look, side: int) -> _Part:
    """A bowl with a raised rim, standing off the head."""
    radius, turn = np.meshgrid(
        np.array([0.02, 0.35, 0.62, 0.82, 0.95, 1.0]), np.linspace(0, 2 * np.pi, 18, endpoint=False)
    )
    height = np.interp(radius, [0, 0.35, 0.62, 0.82, 0.95, 1.0], [0.02, 0.03, 0.09, 0.12, 0.10, 0.0])
    up = radius * np.cos(turn) * 0.265 * (1 + 0.12 * np.cos(turn))
    back = radius * np.sin(turn) * 0.125 * (1 + 0.35 * np.cos(turn))
    out = 0.8 * height + 0.28 * np.maximum(back + 0.12, 0)
    points = np.array([0.690, 0.13, -0.56]) + look.ear_size * np.stack([out, up - 0.15 * back, -back], -1)
    points = points.reshape(-1, 3) * [side, 1, 1]
    atlas = np.stack([1.25 + 0.03 * radius * np.sin(turn), 0.455 + 0.03 * radius * np.cos(turn)], -1).reshape(-1, 2)
    triangles = grid_triangles(18, 6)
    seam = np.stack([17 * 6 + np.arange(5), np.arange(5), np.arange(1, 6)], -1)
    triangles = np.concatenate(
        [triangles, seam, np.stack([17 * 6 + np.arange(5), np.arange(1, 6), 17 * 6 + np.arange(1, 6)], -1)]
    )
    return points, atlas, np.full(len(points), EAR), np.ones(len(points)), triangles if side > 0 else triangles[:, ::-1]


def _neck() -> _Part:
    """A loft from under the jaw to the chest."""
    turn = np.linspace(0, 2 * np.pi, _NECK_SEGMENTS, endpoint=False)
    ring = NECK_RINGS[:, None]
    x, z = ring[..., 1] * np.sin(turn), ring[..., 3] + ring[..., 2] * np.cos(turn)
    slope = 0.10 * ramp(NECK_RINGS[:, 0], -0.9, -1.2)[:, None] * (np.cos(turn) - 1) * -0.5
    points = np.stack([x, ring[..., 0] + slope, z], -1).reshape(-1, 3)
    around = np.abs(turn / np.pi - 1)
    atlas = np.stack(np.broadcast_arrays(1.01 + 0.48 * (1 - around), neck_atlas_height(NECK_RINGS[:, :1])), -1)
    follows = np.repeat(NECK_RINGS[:, 4], _NECK_SEGMENTS)
    triangles = grid_triangles(len(NECK_RINGS), _NECK_SEGMENTS, closed=True)
    return points, atlas.reshape(-1, 2), np.full(len(points), NECK), follows, triangles


def neck_atlas_height(y: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Atlas v of a height on the neck and chest: 0.49 under the jaw, 0.02 on the chest."""
    return 0.49 + (y + 0.42) / 1.98 * 0.47


def extras(look: Look) -> Extras:
    """All added geometry of a look."""
    return _joined([_neck(), _ear(look, 1), _ear(look, -1), _shell(look), *_loose(look)])


def _loose(look: Look) -> list[_Part]:
    curtains = [_curtain(look, _CURTAIN_END[look.hair])] if look.hair in _CURTAIN_END else []
    return curtains + ([_bun(look)] if look.hair == "tied" else [])


def _joined(parts: list[_Part]) -> Extras:
    starts = np.cumsum([0] + [len(part[0]) for part in parts[:-1]])
    return Extras(
        points=np.concatenate([part[0] for part in parts]),
        atlas=np.concatenate([part[1] for part in parts]),
        material=np.concatenate([part[2] for part in parts]).astype(np.int64),
        follows=np.concatenate([part[3] for part in parts]),
        triangles=np.concatenate([part[4] + start for part, start in zip(parts, starts, strict=True)]),
    )
