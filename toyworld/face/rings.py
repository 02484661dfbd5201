"""Vertices that anatomy places: rings about the left eye and the mouth, the jaw line, brows and nose.

Everything is laid out on the half x >= 0. Each vertex has a rest position and a place in the azimuthal plane; there the
mouth is slightly open, so that lips and mouth cavity unfold, while at rest it is closed.
"""

import numpy as np
from jaxtyping import Float

from toyworld.face import sculpt as sculpt

MOUTH_Y = -0.375
"""Height of the closed mouth, decimetres."""
MOUTH_HALF_WIDTH = 0.245
EYE_POINTS = 36
LIP_POINTS = 11

SKIN, VERMILION, MOUTH_BAG, LID_RIM = 0, 1, 2, 3
"""Kinds of skin: outside, red of the lips, inside of the mouth, inner edge of the lids."""


class HalfSkin:
    """Vertices of one half, gathered in order; `names` remembers those that something else refers to."""

    def __init__(self) -> None:
        self.points: list[np.ndarray] = []
        self.plane: list[np.ndarray] = []
        self.kind: list[int] = []
        self.lip: list[int] = []
        self.ring: list[str] = []
        self.names: dict[tuple[str, int], int] = {}

    def add(self, points: np.ndarray, plane: np.ndarray, kind: int, lip: np.ndarray | int = 0, name: str = "") -> None:
        """Append vertices; `name` makes them known as `(name, number)`."""
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


def add_mouth(half: HalfSkin) -> None:
    """Add the rings from the skin about the mouth over the lips to the back of the mouth."""
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


def _mouth_inside(half: HalfSkin, t: np.ndarray, line: np.ndarray) -> None:
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
"""Growth of the rings about the eye sideways, up and down; share of the way to the lid margin in the plane."""


def add_eye(half: HalfSkin) -> None:
    """Add the rings from the orbit to the lid's margin, its rim and the edge hidden behind the eyeball's front."""
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
"""Height of the lid margin over the eyeball."""


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


def add_landmarks(half: HalfSkin) -> None:
    """Add the iBUG points of jaw, brow and nose."""
    jaw = sculpt.from_plane(sculpt.to_plane(JAW_LINE))
    half.add(jaw, sculpt.to_plane(jaw), SKIN, 0, "jaw")
    for name, xy in (("brow", _BROWS), ("nose", _NOSE)):
        points = sculpt.from_front(xy)
        half.add(points, sculpt.to_plane(points), SKIN, 0, name)
