"""Albedo of the procedural head: a mean and eighty axes (pigment, blood, lips, brows, irises, beard, residuals)."""

import numpy as np
from jaxtyping import Float

from toyworld.face import rings as rings
from toyworld.face import sculpt as sculpt
from toyworld.face.fields import blob, pair, ramp
from toyworld.face.parts import LEFT_EYE, LOWER_TEETH, RIGHT_EYE, SKIN, TONGUE, UPPER_TEETH, HeadMesh

NUM_TEXTURE = 80

_SKIN = np.array([0.74, 0.55, 0.46])
_LIPS = np.array([0.66, 0.36, 0.34])
_BROW = np.array([0.22, 0.15, 0.11])
_PUPIL_DEGREES, _IRIS_DEGREES = 10.5, 25.7

BROW_LINE = np.array([[0.085, 0.445], [0.20, 0.488], [0.32, 0.507], [0.43, 0.490], [0.535, 0.435]])
"""Frontal course of the left brow's middle."""


def brow_weight(points: Float[np.ndarray, "n 3"], thickness: float = 0.028) -> Float[np.ndarray, "n"]:
    """1 on the brows, 0 away from them, at points of the rest head."""
    x = np.abs(points[:, 0])
    middle = np.interp(x, BROW_LINE[:, 0], BROW_LINE[:, 1])
    width = thickness * np.interp(x, [0.06, 0.12, 0.36, 0.56], [0.7, 1.0, 0.9, 0.35])
    ends = ramp(x, 0.055, 0.10) * ramp(x, 0.565, 0.50)
    return ends * np.exp(-(((points[:, 1] - middle) / width) ** 2)) * (points[:, 2] > -0.1)


def lip_weight(mesh: HeadMesh) -> Float[np.ndarray, "v"]:
    """1 on the vermilion, 0 outside."""
    return (mesh.kind == rings.VERMILION) * np.where(mesh.ring == "border", 0.6, 1.0)


def eye_angle(mesh: HeadMesh) -> Float[np.ndarray, "v"]:
    """Degrees from the pupil on the eyeballs, 180 elsewhere."""
    angle = np.full(len(mesh.points), 180.0)
    for part, side in ((LEFT_EYE, 1), (RIGHT_EYE, -1)):
        mine = mesh.part == part
        offset = mesh.points[mine] - sculpt.EYE_CENTRE * [side, 1, 1]
        angle[mine] = np.degrees(np.arccos(np.clip(offset[:, 2] / sculpt.EYE_RADIUS, -1, 1)))
    return angle


def iris_weight(mesh: HeadMesh) -> Float[np.ndarray, "v"]:
    """1 on the irises, without their pupils."""
    angle = eye_angle(mesh)
    return ((angle > _PUPIL_DEGREES) & (angle < _IRIS_DEGREES)) * 1.0


def mean_texture(mesh: HeadMesh) -> Float[np.ndarray, "v 3"]:
    """RGB albedo in 0..1 of the average head."""
    p, angle = mesh.points, eye_angle(mesh)
    colour = np.tile(_SKIN, (len(p), 1))
    colour = _blend(colour, _LIPS, lip_weight(mesh))
    colour = _blend(colour, _BROW, 0.75 * brow_weight(p) * (mesh.part == SKIN))
    colour = _blend(colour, np.array([0.60, 0.40, 0.36]), 0.35 * pair(p, (0.313, 0.24, 0.2), (0.14, 0.05, 0.15)))
    bag = (mesh.kind == rings.MOUTH_BAG) * np.where(mesh.ring == "deep", 0.97, 0.55)
    colour = _blend(colour, np.array([0.16, 0.05, 0.05]), bag)
    colour = _blend(colour, np.array([0.45, 0.26, 0.23]), (mesh.kind == rings.LID_RIM) * 0.8)
    for condition, value in (
        (angle < 179, (0.88, 0.86, 0.84)),
        (angle < _IRIS_DEGREES, (0.30, 0.20, 0.13)),
        (angle < _PUPIL_DEGREES, (0.02, 0.02, 0.02)),
        (np.isin(mesh.part, [UPPER_TEETH, LOWER_TEETH]), (0.90, 0.87, 0.80)),
        (mesh.part == TONGUE, (0.62, 0.28, 0.28)),
    ):
        colour[condition] = value
    return colour


def _blend(colour: np.ndarray, other: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return colour + weight[:, None] * (other - colour)


def texture_basis(mesh: HeadMesh) -> Float[np.ndarray, "80 v 3"]:
    """Albedo change of one standard deviation of each axis; eyes, teeth and mouth take part only where named."""
    p = mesh.points
    skin = (mesh.part == SKIN) * (mesh.kind != rings.MOUTH_BAG) * 1.0
    bare = skin * (1 - 0.8 * brow_weight(p)) * (1 - 0.4 * lip_weight(mesh))
    named = [
        (bare, (-0.150, -0.145, -0.130)),
        (bare, (0.030, -0.020, -0.015)),
        (bare, (0.015, 0.010, -0.030)),
        (lip_weight(mesh), (0.030, -0.060, -0.045)),
        (lip_weight(mesh), (-0.080, -0.050, -0.040)),
        (brow_weight(p) * skin, (0.090, 0.070, 0.050)),
        (brow_weight(p, 0.045) * skin * (1 - brow_weight(p)), (-0.15, -0.13, -0.11)),
        (iris_weight(mesh), (0.02, 0.08, 0.14)),
        (iris_weight(mesh), (0.09, 0.07, 0.02)),
        (pair(p, (0.38, -0.06, 0.2), (0.14, 0.11, 0.2)) * bare, (0.040, -0.030, -0.025)),
        (pair(p, (0.29, 0.17, 0.2), (0.12, 0.035, 0.2)) * bare, (-0.060, -0.060, -0.040)),
        (_beard(p) * bare, (-0.085, -0.075, -0.060)),
        (blob(p, (0.0, -0.07, 0.5), 0.12) * bare, (0.030, -0.035, -0.030)),
        (pair(p, (0.313, 0.38, 0.2), (0.13, 0.04, 0.2)) * bare, (-0.070, -0.060, -0.035)),
        (blob(p, (0.0, 0.75, 0.2), (0.5, 0.25, 0.4)) * bare, (0.035, 0.030, 0.025)),
        (np.isin(mesh.part, [UPPER_TEETH, LOWER_TEETH]) * 1.0, (-0.03, -0.05, -0.08)),
    ]
    basis = [weight[:, None] * np.array(colour) for weight, colour in named]
    return np.stack(basis + _residuals(p, bare, NUM_TEXTURE - len(basis)))


def _beard(p: np.ndarray) -> np.ndarray:
    """Where a beard grows: chin, jaw and upper lip."""
    below = ramp(p[:, 1], -0.22, -0.42) * ramp(p[:, 2], -0.5, -0.25)
    return np.maximum(below, blob(p, (0.0, -0.23, 0.4), (0.16, 0.045, 0.15)))


def _residuals(p: np.ndarray, bare: np.ndarray, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(81)
    found = []
    for index in range(count):
        wave = rng.normal(size=3) * 2 * np.pi / (1.0 - 0.008 * index) / np.sqrt(3)
        tint = np.array([1.0, 0.95, 0.9]) + 0.3 * rng.normal(size=3)
        place = np.concatenate([np.abs(p[:, :1]), p[:, 1:]], -1) if index % 3 else p
        field = np.sin(place @ wave + rng.uniform(0.0, 2 * np.pi))
        found.append((field * bare)[:, None] * tint * 0.007 / (1 + 0.03 * index))
    return found
