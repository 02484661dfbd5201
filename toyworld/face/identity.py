"""Eighty identity axes of the procedural head: forty anatomical ones, forty smooth residuals. One is one deviation."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from toyworld.face import rings as rings
from toyworld.face import sculpt as sculpt
from toyworld.face.fields import Points, blob, harmonic, outward, pair, push, ramp
from toyworld.face.parts import LEFT_EYE, LOWER_TEETH, RIGHT_EYE, TONGUE, UPPER_TEETH, HeadMesh

NUM_IDENTITY = 80

VARIETY = 0.62
"""Share of the drawn strokes that is one standard deviation: people differ, but none is a caricature."""

_EYE = (0.313, 0.285, 0.2)
_MOUTH = (0.0, rings.MOUTH_Y, 0.35)


def _nose(p: Points) -> np.ndarray:
    return blob(p, (0.0, -0.05, 0.5), (0.10, 0.11, 0.17))


_FIELDS: dict[str, Callable[[Points], Points]] = {
    "face width": lambda p: p * [0.060, 0, 0],
    "lower face height": lambda p: push(ramp(p[:, 1], 0.25, -0.75), y=-0.075),
    "jaw width": lambda p: outward(p, ramp(p[:, 1], -0.12, -0.5) * ramp(p[:, 2], 0.35, -0.1), 0.060),
    "chin length": lambda p: push(ramp(p[:, 1], -0.45, -0.72), y=-0.055),
    "chin forward": lambda p: push(blob(p, (0.0, -0.68, 0.25), (0.22, 0.16, 0.3)), z=0.060),
    "chin width": lambda p: outward(p, blob(p, (0.0, -0.68, 0.2), (0.28, 0.14, 0.3)), 0.055),
    "cheekbones": lambda p: (
        outward(p, pair(p, (0.52, 0.08, 0.05), (0.2, 0.15, 0.25)), 0.035)
        + push(pair(p, (0.45, 0.06, 0.15), (0.16, 0.12, 0.2)), z=0.030)
    ),
    "cheek fullness": lambda p: (
        outward(p, pair(p, (0.48, -0.22, 0.0), (0.2, 0.2, 0.3)), 0.055)
        + push(pair(p, (0.4, -0.22, 0.15), (0.16, 0.18, 0.2)), z=0.030)
    ),
    "forehead height": lambda p: push(ramp(p[:, 1], 0.5, 1.15), y=0.070),
    "forehead slope": lambda p: push(ramp(p[:, 1], 0.45, 1.0) * ramp(p[:, 2], -0.5, 0.1), z=-0.050),
    "temple width": lambda p: outward(p, pair(p, (0.62, 0.55, -0.1), (0.2, 0.25, 0.3)), 0.040),
    "brow ridge": lambda p: push(pair(p, (0.22, 0.46, 0.3), (0.2, 0.06, 0.2)), z=0.035),
    "brow height": lambda p: push(pair(p, (0.30, 0.50, 0.25), (0.22, 0.085, 0.2)), y=0.028),
    "brow tilt": lambda p: (
        push(pair(p, (0.46, 0.48, 0.2), (0.13, 0.075, 0.2)), y=0.026)
        + push(pair(p, (0.12, 0.46, 0.3), (0.09, 0.06, 0.2)), y=-0.018)
    ),
    "eye spacing": lambda p: outward(p, pair(p, _EYE, (0.17, 0.15, 0.25)), 0.022),
    "eye height": lambda p: push(pair(p, _EYE, (0.24, 0.16, 0.3)), y=0.025),
    "eye depth": lambda p: push(pair(p, _EYE, (0.19, 0.12, 0.3)), z=-0.025),
    "nose length": lambda p: push(blob(p, (0.0, -0.10, 0.45), (0.15, 0.12, 0.3)), y=-0.040),
    "nose projection": lambda p: push(_nose(p), z=0.055),
    "nose width": lambda p: outward(p, blob(p, (0.0, -0.09, 0.40), (0.16, 0.085, 0.14)), 0.032),
    "bridge width": lambda p: outward(p, blob(p, (0.0, 0.16, 0.36), (0.10, 0.15, 0.15)), 0.022),
    "bridge height": lambda p: push(blob(p, (0.0, 0.22, 0.36), (0.075, 0.14, 0.2)), z=0.040),
    "nose upturn": lambda p: push(blob(p, (0.0, -0.06, 0.54), (0.08, 0.07, 0.1)), y=0.040),
    "nose hump": lambda p: push(blob(p, (0.0, 0.11, 0.42), (0.06, 0.07, 0.15)), z=0.026),
    "nose tip size": lambda p: (
        outward(p, blob(p, (0.0, -0.05, 0.53), (0.09, 0.06, 0.07)), 0.022)
        + push(blob(p, (0.0, -0.09, 0.5), (0.07, 0.05, 0.1)), y=-0.014)
    ),
    "mouth width": lambda p: outward(p, blob(p, _MOUTH, (0.28, 0.13, 0.25)), 0.034),
    "mouth height": lambda p: push(blob(p, _MOUTH, (0.32, 0.13, 0.25)), y=0.028),
    "mouth corners": lambda p: push(pair(p, (0.25, rings.MOUTH_Y, 0.28), (0.09, 0.09, 0.2)), y=0.016),
    "muzzle": lambda p: push(blob(p, _MOUTH, (0.26, 0.18, 0.25)), z=0.042),
    "jaw angle": lambda p: push(pair(p, (0.58, -0.42, -0.3), (0.2, 0.18, 0.25)), y=-0.065),
    "under chin": lambda p: push(blob(p, (0.0, -0.75, -0.1), (0.3, 0.15, 0.25)), y=-0.060),
    "skull width": lambda p: outward(p, ramp(p[:, 1], 0.2, 0.8) * ramp(p[:, 2], 0.3, -0.5), 0.040),
    "flatness": lambda p: (p - [0, 0, -0.4]) * [0, 0, -0.055],
    "hollow cheeks": lambda p: push(pair(p, (0.42, -0.18, 0.15), (0.1, 0.14, 0.2)), z=-0.032),
    "nasolabial": lambda p: (
        push(pair(p, (0.23, -0.2, 0.3), (0.045, 0.10, 0.15)), z=-0.016)
        + push(pair(p, (0.33, -0.15, 0.25), (0.07, 0.1, 0.15)), z=0.014)
    ),
}


FEATURE_NAMES = ("upper lip", "lower lip", "eye opening", "eye width", "eye tilt")
NUM_RESIDUALS = NUM_IDENTITY - len(_FIELDS) - len(FEATURE_NAMES)
IDENTITY_NAMES: tuple[str, ...] = (*_FIELDS, *FEATURE_NAMES, *(f"residual {i}" for i in range(NUM_RESIDUALS)))
"""What each identity axis changes."""


def head_fields(points: Points) -> Float[np.ndarray, "75 n 3"]:
    """The axes that are functions of place alone, at any points on or near the head (hair and ears follow)."""
    named = [field(points) for field in _FIELDS.values()]
    rng = np.random.default_rng(20230621)
    residual = []
    for index in range(NUM_RESIDUALS):
        field = harmonic(points, rng, wavelength=1.5 - 0.02 * index, symmetric=index % 4 != 3)
        residual.append(field * 0.016 / (1 + 0.06 * index) * (0.45 if index % 4 == 3 else 1.0))
    return VARIETY * np.stack(named + residual)


def _lip_share(mesh: HeadMesh) -> np.ndarray:
    """How far from the line of contact towards the vermilion's border, fading over the skin beyond."""
    shares = {"contact": 0.0, "inner1": 0.0, "lip2": 0.36, "lip1": 0.7, "border": 1.0}
    shares |= {"mouth0": 0.8, "mouth1": 0.45, "mouth2": 0.15}
    return np.array([shares.get(str(ring), 0.0) for ring in mesh.ring])


def feature_fields(mesh: HeadMesh) -> Float[np.ndarray, "5 v 3"]:
    """The axes that change lips and lids, which only the mesh has: upper lip, lower lip, eye size, width, tilt."""
    p = mesh.points
    share, bow = _lip_share(mesh), np.sqrt(np.maximum(1 - (p[:, 0] / 0.265) ** 2, 0))
    lip = share * bow
    lids = _lid_weight(mesh)
    upper = p[:, 1] > 0.278
    eye_x = np.abs(p[:, 0]) - 0.313
    across = lids * np.clip(eye_x / 0.155, -1.3, 1.3)
    bulge = bow * np.isin(mesh.ring, ["lip1", "lip2", "border"])
    return VARIETY * np.stack(
        [
            push(lip * (mesh.lip > 0), y=0.020) + push(bulge * (mesh.lip > 0), z=0.016),
            push(lip * (mesh.lip < 0), y=-0.022) + push(bulge * (mesh.lip < 0), z=0.020),
            push(lids * np.where(upper, 1.0, -0.6) * np.sqrt(np.maximum(1 - (eye_x / 0.17) ** 2, 0.0)), y=0.014),
            push(across * np.sign(p[:, 0]), x=0.013),
            push(across, y=0.012),
        ]
    )


def _lid_weight(mesh: HeadMesh) -> np.ndarray:
    weights = {"under": 1.0, "rim": 1.0, "margin": 1.0, "lid4": 0.9, "lid3": 0.7, "lid2": 0.45, "lid1": 0.2}
    return np.array([weights.get(str(ring), 0.0) for ring in mesh.ring])


def identity_basis(mesh: HeadMesh) -> Float[np.ndarray, "80 v 3"]:
    """Displacements (decimetres) of one standard deviation of each axis; eyeballs, with the
    lids on them, and teeth move as rigid bodies."""
    where = mesh.points.copy()
    pupil = sculpt.EYE_CENTRE + np.array([0, 0, sculpt.EYE_RADIUS])
    where[mesh.part == LEFT_EYE] = pupil
    where[mesh.part == RIGHT_EYE] = pupil * [-1, 1, 1]
    inner = np.isin(mesh.part, [UPPER_TEETH, LOWER_TEETH, TONGUE])
    where[inner] = [0.0, rings.MOUTH_Y, 0.30]
    eye = pupil * np.where(mesh.points[:, :1] > 0, [1, 1, 1], [-1, 1, 1])
    where += _lid_weight(mesh)[:, None] * (eye - where)
    fields, count = head_fields(where), len(_FIELDS)
    basis = np.concatenate([fields[:count], feature_fields(mesh), fields[count:]])
    return basis
