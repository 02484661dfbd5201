"""What a toy actor's look adds to ICT-FaceKit's bare head: painted vertices, hair, clothes, and an atlas for eyes."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from datamodules.toy_mead.appearance import Look
from datamodules.toy_mead.appearance_atlas import strip
from datamodules.toy_mead.appearance_extras import SHELL, hair_coverage, loose_hair
from datamodules.toy_mead.ict_head import (
    EYE_AXIS,
    EYE_OFFSET,
    GUMS,
    LEFT_EYE,
    MOUTH,
    RIGHT_EYE,
    SKIN,
    SOCKET,
    TEETH,
    IctHead,
)
from face3d.procedural import procedural_head
from face3d.procedural_fields import blob, pair, ramp

_EYE_TEXELS = 96
_EYE_ANGLE = 1.4
"""Angle from the pupil at the edge of the painted eye, in rad."""
_IRIS = 0.36
"""Angle of the iris's edge, in rad: 5.9 mm on a sphere of 16.5 mm."""
_BARE = 8
"""Columns at the atlas's left that let the vertices' own colour through."""


EAR_TUCK = 0.66
"""How far from the middle ears stand under hair that covers them."""


def hides_ears(look: Look) -> bool:
    """Whether hair hangs over the ears."""
    return look.hair in ("bob", "long")


@dataclass(frozen=True)
class Added:
    """Vertices beside the model's: rest position, place in the atlas (columns, rows), share of the turn, colour."""

    points: Float[np.ndarray, "v 3"]
    places: Float[np.ndarray, "v 2"]
    follows: Float[np.ndarray, " v"]
    albedo: Float[np.ndarray, "v 3"]
    shadow: Float[np.ndarray, " v"]
    triangles: Int64[np.ndarray, "t 3"]


def coverage(points: Float[np.ndarray, "n 3"], look: Look) -> Float[np.ndarray, " n"]:
    """How far inside the hair's outline points of the scalp are: this head's ears lie farther back, its brow higher."""
    temple = pair(points, (0.44, 0.92, 0.0), (0.11, 0.14, 0.3))
    return hair_coverage(points + np.array([0.0, -0.06, 0.18]), look) - (0.14 + 0.5 * look.hairline) * temple


def skin_colour(texture: Float32[np.ndarray, "80"]) -> Float[np.ndarray, "3"]:
    """The albedo that these coefficients give to the procedural head's cheeks: an actor keeps its skin."""
    head = procedural_head()
    colours = head.texture(torch.from_numpy(texture)).clamp(0.02, 0.98).numpy()
    return colours[head.keypoints[[2, 3, 13, 14, 27]].numpy()].mean(0).astype(float)


def paint_vertices(head: IctHead, look: Look, skin: Float[np.ndarray, "3"]) -> Float[np.ndarray, "v 3"]:
    """Albedo of the head's vertices."""
    colour = np.tile(skin, (len(head.mean), 1))
    _paint_skin(colour, head, look)
    _paint_hair(colour, head, look)
    lip = (1 - look.lipstick) * skin * [0.86, 0.58, 0.58] + look.lipstick * np.asarray(look.lip_colour)
    _cover(colour, lip, 0.85 * head.lips)
    upper = ramp(head.mean[:, 1], 0.28, 0.305)
    _cover(colour, np.array([0.04, 0.03, 0.03]), look.lashes * head.lid_rim * (0.3 + 0.7 * upper))
    for part, own in ((MOUTH, (0.40, 0.15, 0.15)), (GUMS, (0.55, 0.26, 0.26)), (TEETH, (0.86, 0.83, 0.77))):
        colour[head.part == part] = own
    colour[head.part == SOCKET] = skin * [0.8, 0.6, 0.6]
    _paint_cloth(colour, head, look)
    return np.clip(colour, 0.01, 0.98)


def _cover(colour: np.ndarray, own: np.ndarray, weight: np.ndarray) -> None:
    colour += np.clip(weight, 0, 1)[:, None] * (own - colour)


def _paint_skin(colour: np.ndarray, head: IctHead, look: Look) -> None:
    p, rng = head.mean.astype(float), np.random.default_rng(look.seed)
    grain = rng.standard_normal(len(p))
    for _ in range(2):
        grain = head.neighbours @ grain
    colour *= 1 + 0.03 * (grain / grain.std())[:, None]
    warm = pair(p, (0.38, -0.08, 0.2), (0.16, 0.14, 0.3)) + blob(p, (0.0, -0.02, 0.5), (0.09, 0.08, 0.2)) + head.ear
    colour *= 1 + np.clip(warm, 0, 1)[:, None] * np.array([0.02, -0.06, -0.05])
    bags = pair(p, (0.29, 0.17, 0.15), (0.10, 0.035, 0.2))
    colour *= 1 - (0.03 + 0.12 * look.lines) * bags[:, None]
    spots = (rng.random(len(p)) < 0.25) * pair(p, (0.25, 0.0, 0.3), (0.25, 0.12, 0.3))
    _cover(colour, np.array([0.42, 0.24, 0.14]), 0.5 * look.freckles * spots)
    nostril = pair(p, (0.07, -0.13, 0.40), (0.028, 0.016, 0.05))
    _cover(colour, np.array([0.10, 0.045, 0.04]), 0.8 * nostril)


def _paint_hair(colour: np.ndarray, head: IctHead, look: Look) -> None:
    """Brows, the shadow of hair on the scalp, beard and moustache."""
    p, bare = head.mean.astype(float), 1 - np.clip(1.3 * head.lips, 0, 1)
    rng = np.random.default_rng(look.seed + 2)
    brow = np.exp(-((head.brow / (1.25 * look.brow_thickness)) ** 2)) * ramp(np.abs(p[:, 0]), 0.55, 0.42)
    _cover(colour, np.asarray(look.brow_colour), look.brow_strength * brow * rng.uniform(0.8, 1.1, len(p)))
    scalp = ramp(coverage(p, look), -0.05, 0.05) * (0.25 if look.hair == "bald" else 0.9) * ~head.ear
    _cover(colour, np.asarray(look.hair_colour), scalp)
    jaw = ramp(p[:, 1], -0.30, -0.46) * ramp(p[:, 1] + 0.35 * p[:, 2], -0.95, -0.75) * ramp(p[:, 2], -0.58, -0.40)
    sides = ramp(np.abs(p[:, 0]), 0.50, 0.64) * ramp(p[:, 1], 0.15, -0.05) * ramp(p[:, 2], -0.58, -0.42)
    sides *= ramp(p[:, 2], -0.12, -0.3)
    soul = 1 - 0.8 * blob(p, (0.0, -0.50, 0.4), (0.10, 0.035, 0.2))
    chin = np.maximum(jaw, sides * ramp(p[:, 1], -0.8, -0.6)) * soul * ~head.ear
    _cover(colour, np.asarray(look.brow_colour), np.clip(look.beard * 0.85 * chin, 0, 0.92) * bare)
    lip = np.exp(-(((p[:, 1] + 0.245 + 0.25 * p[:, 0] ** 2) / 0.035) ** 2)) * ramp(np.abs(p[:, 0]), 0.28, 0.18)
    _cover(colour, np.asarray(look.brow_colour), np.clip(look.moustache * 0.9 * lip * (p[:, 2] > 0.1), 0, 0.92) * bare)


def _paint_cloth(colour: np.ndarray, head: IctHead, look: Look) -> None:
    p = head.mean
    away = np.hypot(p[:, 0], 1.1 * (p[:, 2] + 0.78)) + 0.8 * np.maximum(-1.25 - p[:, 1], 0)
    below = (p[:, 1] + 0.5 * p[:, 2] < -1.3) * (head.part == SKIN)
    edge = 0.64 + 0.8 * look.neckline * ramp(p[:, 2], -0.75, -0.4)
    _cover(colour, np.asarray(look.cloth), ramp(away - edge, -0.05, 0.05) * below)


def added(head: IctHead, rest: Float[np.ndarray, "v 3"], look: Look, size: int) -> Added:
    """Hair and shoulders about the actor's rest shape, with places in an atlas of that size."""
    return _joined(
        [_hair_shell(head, rest, look, size), *_loose_hair(head, rest, look, size), _chest(head, rest, look)]
    )


def _strip_places(places: np.ndarray, size: int) -> np.ndarray:
    """Columns and rows of places (x in 1..1.5, y up) of the strip of hair and cloth."""
    return np.stack([_BARE + (places[:, 0] - 1) * size, (1 - places[:, 1]) * size], -1) - 0.5


def _hair_shell(head: IctHead, rest: np.ndarray, look: Look, size: int) -> Added:
    """A copy of the scalp, lifted by the hair's thickness inside its outline and sunk outside."""
    cover = np.where(head.ear | (head.part != SKIN), -1.0, coverage(head.mean.astype(float), look))
    triangles = head.triangles[(cover[head.triangles] > -0.25).all(1)]
    used, corners = np.unique(triangles, return_inverse=True)
    centre = np.array([0.0, 0.35, -0.60])
    away = rest[used] - centre
    direction = away / np.linalg.norm(away, axis=1, keepdims=True)
    turn, fall = np.arctan2(away[:, 0], away[:, 2]), np.arccos(direction[:, 1])
    rng = np.random.default_rng(look.seed)
    place = np.stack([turn, fall], -1)
    waves = sum(np.sin(place @ rng.normal(0, 3.0, 2) + rng.uniform(0, 6.3)) for _ in range(4)) / 4
    sides, top = SHELL[look.hair]
    inside = ramp(cover[used] + 0.03 * waves, -0.01, 0.32)
    volume = sides + (top - sides) * ramp(rest[used, 1], 0.5, 1.2)
    volume = volume * (look.hair_volume if volume.max() > 0.02 else 1.0) * (1 + 0.18 * waves)
    sunk = -0.03 - 0.30 * ramp(cover[used], -0.05, -0.25)
    points = rest[used] + direction * (sunk + inside * (volume - sunk))[:, None]
    places = np.stack([1.01 + 0.48 * np.abs(turn / np.pi), 0.98 - 0.46 * fall / 3.2], -1)
    count, blank = len(used), np.ones((len(used), 3))
    follows = head.follows[used]
    return Added(points, _strip_places(places, size), follows, blank, np.ones(count), corners.reshape(-1, 3))


def _loose_hair(head: IctHead, rest: np.ndarray, look: Look, size: int) -> list[Added]:
    """Curtain or bun of the procedural head's looks, widened to this skull."""
    hair = loose_hair(look)
    if hair is None:
        return []
    skull = rest[(head.part == SKIN) & (rest[:, 1] > 0.0)]
    grown = np.array([(np.abs(skull[:, 0]).max() + 0.02) / 0.90, 1.0, 1.22])
    middle = np.array([0, 0, -0.5])
    points = (hair.points - middle) * grown + middle
    count = len(points)
    places = _strip_places(hair.atlas, size)
    return [Added(points, places, hair.follows, np.ones((count, 3)), np.ones(count), hair.triangles)]


def _chest(head: IctHead, rest: np.ndarray, look: Look) -> Added:
    """Cloth from the mesh's lower border outwards and down, beyond the picture."""
    loop = _lower_border(head)
    rings = [rest[loop] * [1, 1, 1], rest[loop] * [1.35, 1, 1] - [0, 0.16, 0], rest[loop] * [1.7, 1, 1] - [0, 0.6, 0]]
    points = np.concatenate([*rings, rest[loop] * [1.75, 1, 1] - [0, 2.0, 0]])
    count, step = len(loop), np.arange(len(loop))
    following = (step + 1) % count
    triangles = np.concatenate(
        [
            np.stack([[a, b, c], [a, c, d]], 0).transpose(0, 2, 1).reshape(-1, 3)
            for row in range(3)
            for a, b, c, d in [
                (row * count + step, (row + 1) * count + step, (row + 1) * count + following, row * count + following)
            ]
        ]
    )
    total = len(points)
    own = np.tile(np.asarray(look.cloth), (total, 1))
    return Added(points, np.full((total, 2), 3.0), np.zeros(total), own, np.ones(total), triangles)


def _lower_border(head: IctHead) -> np.ndarray:
    """Vertices of the loop where the mesh ends under the shoulders, in the order of its triangles' edges."""
    edges = np.concatenate([head.triangles[:, [i, j]] for i, j in ((0, 1), (1, 2), (2, 0))])
    forward = {(int(a), int(b)) for a, b in edges if head.part[a] == SKIN}
    follow = {a: b for a, b in forward if (b, a) not in forward and head.mean[a, 1] < -1.0}
    loop = [min(follow)]
    while follow.get(loop[-1]) not in (None, loop[0]):
        loop.append(follow[loop[-1]])
    return np.array(loop)


def _joined(parts: list[Added]) -> Added:
    starts = np.cumsum([0] + [len(part.points) for part in parts[:-1]])
    columns = ("points", "places", "follows", "albedo", "shadow")
    return Added(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in columns),
        triangles=np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)]),
    )


def eye_places(head: IctHead, size: int) -> Float[np.ndarray, "v 2"]:
    """Places in the atlas of all the head's vertices: eyeballs in the painted eye, the rest where it is bare."""
    places = np.full((len(head.mean), 2), 3.0)
    middle = np.array([_BARE + size // 2 + _EYE_TEXELS / 2, _EYE_TEXELS / 2]) - 0.5
    for part, side in ((LEFT_EYE, 1), (RIGHT_EYE, -1)):
        ball = head.mean[head.part == part].astype(float)
        away = (ball - ball.mean(0) - EYE_OFFSET) * [side, 1, 1]
        across = away[:, 0] * EYE_AXIS[2] - away[:, 2] * EYE_AXIS[0]
        angle = np.arctan2(np.hypot(across, away[:, 1]), away @ EYE_AXIS)
        turn = np.arctan2(away[:, 1], across * side)
        reach = np.minimum(angle / _EYE_ANGLE, 0.98) * (_EYE_TEXELS / 2 - 1)
        places[head.part == part] = middle + np.stack([reach * np.cos(turn), -reach * np.sin(turn)], -1)
    return places


def atlas(look: Look, size: int) -> Float32[np.ndarray, "h w 4"]:
    """Added RGB and the factor on the vertices' colour: bare columns, hair and cloth, and one eye."""
    bare = np.zeros((size, _BARE, 4))
    bare[..., 3] = 1.0
    eye = np.zeros((size, _EYE_TEXELS, 4))
    eye[:_EYE_TEXELS, :, :3] = _eye(look)
    return np.ascontiguousarray(np.concatenate([bare, strip(look, size), eye], axis=1), np.float32)


def _eye(look: Look) -> Float[np.ndarray, "s s 3"]:
    """The eyeball about its pupil, by angle: sclera, iris with fibres, pupil, glint."""
    y, x = (np.mgrid[:_EYE_TEXELS, :_EYE_TEXELS] + 0.5) / (_EYE_TEXELS / 2) - 1
    angle, turn = np.hypot(x, y) * _EYE_ANGLE, np.arctan2(y, x)
    rng = np.random.default_rng(look.seed)
    colour = np.tile(np.array([0.84, 0.82, 0.80]), (_EYE_TEXELS, _EYE_TEXELS, 1))
    fibres = 1 + 0.16 * np.sin(turn * 17 + rng.uniform(0.0, 6)) + 0.12 * np.sin(turn * 29)
    iris = np.asarray(look.iris) * (fibres * (0.75 + 0.5 * ramp(angle, _IRIS, 0.5 * _IRIS)))[..., None]
    layers = [
        (np.array([0.74, 0.52, 0.48]), 0.5 * ramp(angle, 0.65, 1.3)),
        (iris, ramp(angle, _IRIS + 0.02, _IRIS - 0.02)),
        (np.array([0.05, 0.04, 0.04]), 0.7 * np.exp(-(((angle - _IRIS) / 0.03) ** 2))),
        (np.array([0.015, 0.015, 0.015]), ramp(angle, 0.17, 0.13)),
        (np.array([1.0, 1.0, 1.0]), 0.9 * ramp(np.hypot(x + 0.11, y + 0.13), 0.075, 0.04)),
    ]
    for own, weight in layers:
        colour += weight[..., None] * (own - colour)
    return colour
