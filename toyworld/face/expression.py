"""Sixty-four expression axes of the procedural head, FACS-like; a coefficient of 1.0 is a movement's natural extreme.

Movements are displacements of the rest position, in decimetres. Paired movements are drawn on the left (x > 0) and
mirrored. Source of what each movement does: Ekman, Friesen & Hager, Facial Action Coding System (2002).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from toyworld.face import rings as rings
from toyworld.face import sculpt as sculpt
from toyworld.face.fields import blob, harmonic, pair, push, ramp
from toyworld.face.parts import LEFT_EYE, LOWER_TEETH, RIGHT_EYE, TONGUE, UPPER_TEETH, HeadMesh

JAW_HINGE = np.array([0.0, 0.04, -0.55])
JAW_ANGLE = 0.33
"""Full opening, in rad: incisors about 40 mm apart."""

_CORNER = (rings.MOUTH_HALF_WIDTH, rings.MOUTH_Y, 0.27)
_MOUTH = (0.0, rings.MOUTH_Y, 0.35)


class Face:
    """The rest head with the weights that many movements share."""

    def __init__(self, mesh: HeadMesh) -> None:
        self.mesh, self.p = mesh, mesh.points
        x, y = self.p[:, 0], self.p[:, 1]
        self.soft = (mesh.part == 0).astype(float)
        self.t = np.abs(x) / rings.MOUTH_HALF_WIDTH
        self.above = y - rings.mouth_line(np.minimum(self.t, 1.0))
        self.bow = np.sqrt(np.maximum(1 - (x / (rings.MOUTH_HALF_WIDTH + 0.02)) ** 2, 0))
        self.attached = np.where(np.isin(mesh.ring, ["vestibule"]), 0.35, 1.0) * np.where(mesh.ring == "deep", 0.0, 1.0)
        self.off_lids = 1 - 0.85 * np.array([_LID_WEIGHTS.get(str(name), 0.0) for name in mesh.ring])
        self.inside = np.isin(mesh.ring, ["vestibule", "deep", "inner1"])
        self.upper, self.lower = self._lip(1), self._lip(-1)

    def _lip(self, side: int) -> np.ndarray:
        """1 on the upper (1) or lower (-1) lip, fading over the skin within 2 cm and to nothing at the corners."""
        near = np.exp(-0.5 * (np.maximum(np.abs(self.above) - 0.06, 0) / 0.055) ** 2) * self.soft
        mine = np.where(self.mesh.lip == 0, np.sign(self.above) == side, self.mesh.lip == side)
        return near * mine * self.bow * self.attached

    def blob(self, centre: tuple[float, float, float], radius: float | tuple[float, float, float]) -> np.ndarray:
        """A Gaussian on the soft parts."""
        return blob(self.p, centre, radius) * self.soft * self.attached * self.off_lids

    def jaw_weight(self) -> np.ndarray:
        """Share of the lower jaw's movement: an oval opening between the lips, a slow change over the cheeks."""
        sideways = np.abs(self.p[:, 0])
        reach = rings.MOUTH_HALF_WIDTH + 0.012 + 0.7 * np.abs(self.above)
        oval = np.sqrt(np.maximum(1 - (sideways / reach) ** 2, 0))
        smooth = ramp(self.above, 0.24, -0.24)
        low = np.where(self.mesh.lip == 0, self.above < 0, self.mesh.lip < 0)
        weight = smooth + oval * (low - smooth)
        back = ramp(np.linalg.norm(self.mesh.atlas - 0.5, axis=-1) * 4, 1.95, 1.45)
        weight = weight * back
        weight = np.where(np.isin(self.mesh.part, [LOWER_TEETH, TONGUE]), 1.0, weight)
        return np.where(np.isin(self.mesh.part, [UPPER_TEETH, LEFT_EYE, RIGHT_EYE]), 0.0, weight)


def _rotate_x(points: np.ndarray, centre: np.ndarray, angle: float) -> np.ndarray:
    """Displacement of points turned about the x axis through `centre`; positive turns the front down."""
    c, s = np.cos(angle), np.sin(angle)
    offset = points - centre
    turned = np.stack([offset[:, 0], c * offset[:, 1] - s * offset[:, 2], s * offset[:, 1] + c * offset[:, 2]], -1)
    return turned - offset


def _rotate_y(points: np.ndarray, centre: np.ndarray, angle: float) -> np.ndarray:
    """Displacement of points turned about the y axis through `centre`; positive turns the front to the left (+x)."""
    c, s = np.cos(angle), np.sin(angle)
    offset = points - centre
    turned = np.stack([c * offset[:, 0] + s * offset[:, 2], offset[:, 1], -s * offset[:, 0] + c * offset[:, 2]], -1)
    return turned - offset


def _jaw(face: Face) -> dict[str, np.ndarray]:
    weight = face.jaw_weight()[:, None]
    opened = _rotate_x(face.p, JAW_HINGE, JAW_ANGLE) + push(np.ones(len(face.p)), y=-0.045, z=0.07)
    corners = pair(face.p, _CORNER, 0.10) * face.soft * face.attached
    return {
        "jaw_open": weight * opened + push(corners * np.sign(face.p[:, 0]), x=-0.025),
        "jaw_left": weight * _rotate_y(face.p, np.array([0, 0, -0.9]), 0.085),
        "jaw_forward": weight * [0, -0.02, 0.09],
    }


def _corners(face: Face) -> dict[str, np.ndarray]:
    """Movements of the left mouth corner, with what the cheek does."""
    corner, wide = face.blob(_CORNER, (0.115, 0.13, 0.2)), face.blob(_CORNER, (0.22, 0.20, 0.3))
    cheek = face.blob((0.37, -0.06, 0.2), (0.13, 0.11, 0.2))
    fold = face.blob((0.30, -0.22, 0.27), (0.07, 0.10, 0.15))
    lips = (face.upper - face.lower) * ramp(face.p[:, 0], -0.05, 0.2)
    return {
        "lip_corner_puller": push(corner, 0.085, 0.085, -0.060)
        + push(wide, 0.012, 0.012, -0.012)
        + push(cheek, 0.018, 0.045, 0.045)
        + push(fold, 0.020, 0.02, 0.012)
        + push(lips, y=-0.010),
        "lip_corner_depressor": push(corner, 0.022, -0.072, -0.015)
        + push(wide, y=-0.012)
        + push(face.blob((0.26, -0.55, 0.2), (0.12, 0.10, 0.2)), 0.02, -0.02, 0.01),
        "lip_stretcher": push(corner, 0.085, -0.022, -0.045) + push(wide, 0.022, -0.006, -0.012),
        "dimpler": push(face.blob(_CORNER, (0.075, 0.08, 0.2)), 0.040, 0.015, -0.065)
        + push(face.blob((0.35, -0.36, 0.2), (0.08, 0.09, 0.15)), 0.01, 0.01, 0.022),
        "lip_corner_sharp": push(face.blob(_CORNER, (0.075, 0.10, 0.2)), 0.025, 0.090, -0.025)
        + push(cheek, 0.01, 0.03, 0.03),
    }


def _lip_sides(face: Face) -> dict[str, np.ndarray]:
    """Raising of the left upper lip and lowering of the left lower lip."""
    side = ramp(face.p[:, 0], -0.10, 0.10)
    alar = face.blob((0.17, -0.14, 0.33), (0.08, 0.11, 0.15))
    return {
        "upper_lip_raiser": push(face.upper * side, 0.004, 0.075, 0.004) + push(alar, 0.012, 0.040, 0.020),
        "lower_lip_depressor": push(face.lower * side, 0.010, -0.085, -0.008)
        + push(face.blob((0.13, -0.56, 0.3), (0.12, 0.08, 0.2)), 0.008, -0.03, 0.0),
    }


def _lips(face: Face) -> dict[str, np.ndarray]:
    """Movements of both lips together."""
    p, up, low = face.p, face.upper, face.lower
    near = face.blob(_MOUTH, (0.24, 0.13, 0.25))
    inward = push(near * np.sin(np.clip(p[:, 0] / 0.26, -1, 1) * np.pi / 2), x=-1.0)
    both, lips = up + low, up - low
    height = np.where(np.abs(face.above) < 0.13, face.above, 0) * face.attached * face.soft * face.bow
    thin = push(height, y=-1.0)
    chin = face.blob((0.0, -0.63, 0.32), (0.14, 0.11, 0.2))
    return {
        "lip_pucker": inward * 0.115 + push(near, z=0.085) + push(both, z=0.025) + push(height, y=0.15),
        "lip_funneler": inward * 0.075 + push(near, z=0.055) + push(lips, y=0.048) + push(both, z=0.045),
        "lip_pressor": inward * 0.012 + thin * 0.50 + push(both, z=-0.028) + push(low, y=0.012),
        "lip_tightener": inward * 0.040 + thin * 0.38 + push(both, z=-0.010),
        "lips_part": push(up, y=0.028) + push(low, y=-0.050),
        "lip_suck": thin * 0.80 + push(both, z=-0.075) + inward * 0.01,
        "chin_raiser": push(chin, y=0.065, z=0.022) + push(low, y=0.052, z=0.032) + push(up, y=0.040, z=0.010),
        "lower_lip_out": push(low, y=-0.012, z=0.075),
        "upper_lip_out": push(up, y=0.010, z=0.065),
        "mouth_left": push(face.blob(_MOUTH, (0.25, 0.15, 0.3)), x=0.095),
    }


def _cheeks_and_nose(face: Face) -> dict[str, np.ndarray]:
    p, soft = face.p, face.soft
    lower_lid = _lid_rings(face, upper=False)
    root = face.blob((0.0, 0.27, 0.36), (0.09, 0.09, 0.15))
    wings = pair(p, (0.13, -0.06, 0.36), (0.07, 0.08, 0.12)) * soft
    puff = pair(p, (0.42, -0.30, 0.15), (0.15, 0.16, 0.25)) * soft * np.where(face.inside, 0.0, 1.0)
    sign = np.tanh(p[:, 0] / 0.05)
    lift = np.where(face.mesh.lip < 0, 0.0, pair(p, (0.10, -0.25, 0.4), (0.12, 0.10, 0.2)) * soft)
    return {
        "cheek_raiser": push(face.blob((0.36, 0.06, 0.2), (0.15, 0.085, 0.2)), 0.0, 0.050, 0.028)
        + push(lower_lid, y=0.022)
        + push(face.blob((0.52, 0.29, 0.1), (0.06, 0.08, 0.15)), -0.012, 0.0, 0.0),
        "cheek_puff": push(puff * sign, x=0.110) + push(puff, z=0.070),
        "nose_wrinkler": push(wings, y=0.050, z=0.012) + push(root, y=-0.02, z=0.02) + push(lift, y=0.030)
        + push(pair(p, (0.13, 0.43, 0.3), (0.10, 0.06, 0.2)) * soft, y=-0.045),
        "nostril_dilator": push(wings * sign, x=0.032),
    }  # fmt: skip


def _brows(face: Face) -> dict[str, np.ndarray]:
    """Movements of the left brow; the forehead above follows."""
    inner, outer = face.blob((0.14, 0.50, 0.3), (0.115, 0.11, 0.25)), face.blob((0.44, 0.50, 0.2), (0.14, 0.10, 0.25))
    forehead = face.blob((0.25, 0.72, 0.25), (0.28, 0.16, 0.3))
    whole = face.blob((0.20, 0.46, 0.3), (0.16, 0.075, 0.25))
    return {
        "inner_brow_raiser": push(inner, 0.0, 0.105, 0.006) + push(forehead, y=0.018),
        "outer_brow_raiser": push(outer, 0.0, 0.095, 0.0) + push(forehead, y=0.018),
        "brow_lowerer": push(whole, -0.055, -0.095, 0.026) + push(inner, -0.015, -0.018, 0.010),
    }


_LID_WEIGHTS = {"under": 1.0, "rim": 1.0, "margin": 1.0, "lid4": 0.84, "lid3": 0.62, "lid2": 0.32, "lid1": 0.12}


def _lid_rings(face: Face, upper: bool) -> np.ndarray:
    """Weights of the left eye's upper or lower lid: 1 at the margin, falling over the rings about it."""
    ring = np.array([_LID_WEIGHTS.get(str(name), 0.0) for name in face.mesh.ring])
    x, y = face.p[:, 0], face.p[:, 1]
    line = 0.278 + 0.012 * (x - 0.313) / 0.155
    vertical = np.abs(y - line) / (np.abs(y - line) + 0.012)
    return ring * (x > 0) * ((y > line) == upper) * vertical


def _on_ball(face: Face, moved: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`moved` points of the left lids pushed out where they would sink into the eyeball."""
    offset = moved - sculpt.EYE_CENTRE
    inside = (sculpt.EYE_RADIUS + rings.LID_LIFT) ** 2 - (offset[:, :2] ** 2).sum(-1)
    z = np.sqrt(np.maximum(inside, 0)) + sculpt.EYE_CENTRE[2]
    pushed = moved.copy()
    pushed[:, 2] = np.where((weight > 0) & (inside > 0.05**2), np.maximum(z, moved[:, 2]), moved[:, 2])
    return pushed


def _closed_lid(face: Face, upper: bool, share: float) -> np.ndarray:
    """Displacement that brings the lid over `share` of the way to the other one, along the eyeball."""
    weight = _lid_rings(face, upper)
    x = np.clip((face.p[:, 0] - 0.313) / 0.155, -1, 1)
    opening = 0.070 * (1 - x**2) ** 0.43 * (1 - 0.10 * x) + 0.045 * np.sqrt(1 - x**2) * (1 + 0.25 * x)
    moved = face.p + push(weight * opening * share, y=-1.0 if upper else 1.0)
    field = np.where(weight[:, None] > 0, _on_ball(face, moved, weight) - face.p, 0)
    left = face.p[:, 0] > 0
    for ring in ("rim", "under"):
        field[left & (face.mesh.ring == ring)] = field[left & (face.mesh.ring == "margin")]
    return field


def _lids(face: Face) -> dict[str, np.ndarray]:
    """Movements of the left eye's lids."""
    return {
        "upper_lid_raiser": _closed_lid(face, True, -0.36),
        "lid_tightener": _closed_lid(face, False, 0.26) + _closed_lid(face, True, 0.13),
        "eye_closure": _closed_lid(face, True, 1.10) + _closed_lid(face, False, 0.16),
    }


def _gaze(face: Face, lids: dict[str, np.ndarray], both: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """Turns of both eyes by 25 degrees sideways, 20 up and down; the lids follow up and down."""

    def turn(rotate: Callable[[np.ndarray, np.ndarray, float], np.ndarray], degrees: float) -> np.ndarray:
        moved = np.zeros_like(face.p)
        for part, side in ((LEFT_EYE, 1), (RIGHT_EYE, -1)):
            mine = face.mesh.part == part
            moved[mine] = rotate(face.p[mine], sculpt.EYE_CENTRE * [side, 1, 1], np.radians(degrees))
        return moved

    return {
        "gaze_left": turn(_rotate_y, 25.0),
        "gaze_right": turn(_rotate_y, -25.0),
        "gaze_up": turn(_rotate_x, -20.0) + 0.35 * both(lids["upper_lid_raiser"]),
        "gaze_down": turn(_rotate_x, 20.0) + 0.40 * both(lids["eye_closure"]),
    }


def _tongue(face: Face) -> dict[str, np.ndarray]:
    tongue = (face.mesh.part == TONGUE) * 1.0
    tip = tongue * ramp(face.p[:, 2], -0.15, 0.2)
    return {"tongue_up": push(tip, y=0.13), "tongue_out": push(tongue, z=0.10) + push(tip, y=0.02, z=0.16)}


def _residuals(face: Face) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(68)
    front = ramp(face.p[:, 2], -0.2, 0.15) * face.soft * np.where(face.inside, 0.0, 1.0)
    front = front * (1 - ramp(pair(face.p, (0.313, 0.285, 0.2), 0.12), 0.2, 0.8))
    return {
        f"residual_{i}": harmonic(face.p, rng, 0.9, symmetric=i % 2 == 0) * (0.012 * front)[:, None] for i in range(12)
    }


def movements(mesh: HeadMesh) -> dict[str, Float[np.ndarray, "v 3"]]:
    """Displacement of every named movement at full strength, in decimetres."""
    face = Face(mesh)

    def mirrored(field: np.ndarray) -> np.ndarray:
        return field[mesh.mirror] * [-1, 1, 1]

    def both(field: np.ndarray) -> np.ndarray:
        return field + mirrored(field)

    lids = _lids(face)
    paired = _corners(face) | _lip_sides(face) | _brows(face) | lids
    middle = _jaw(face) | _lips(face) | _cheeks_and_nose(face) | _gaze(face, lids, both) | _tongue(face)
    paired["cheek_raiser"] = middle.pop("cheek_raiser")
    for name in ("jaw", "mouth"):
        middle[f"{name}_right"] = mirrored(middle[f"{name}_left"])
    sided = {f"{name}_left": field for name, field in paired.items()}
    sided |= {f"{name}_right": mirrored(field) for name, field in paired.items()}
    return middle | sided | _residuals(face)
