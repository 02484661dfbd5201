"""The painted skin of an actor: an atlas of four channels, added RGB and a factor on the model's own albedo.

A pixel's albedo is `factor * albedo of the morphable model + added`. The head's square is painted in the rest head's
own coordinates, so that brows, beard, lips and freckles sit where the anatomy puts them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import gaussian_filter

from face3d import kernels
from toyworld.appearance import Look
from toyworld.appearance_extras import hair_coverage
from toyworld.face import rings as rings
from toyworld.face import sculpt as sculpt
from toyworld.face.fields import blob, pair, ramp
from toyworld.face.parts import LOWER_TEETH, SKIN, TONGUE, UPPER_TEETH, head_mesh
from toyworld.face.texture import brow_weight, eye_angle, lip_weight


@dataclass(frozen=True)
class Texels:
    """What each texel of the head's square shows, row by row: rest point, whether skin, and painted rings."""

    points: Float[np.ndarray, "n 3"]
    skin: Float[np.ndarray, "n"]
    bag: Float[np.ndarray, "n"]
    lips: Float[np.ndarray, "n"]
    lid_rim: Float[np.ndarray, "n"]
    upper_rim: Float[np.ndarray, "n"]
    crease: Float[np.ndarray, "n"]
    eye: Float[np.ndarray, "n"]
    """Degrees from the pupil; 180 outside the eyes."""
    teeth: Float[np.ndarray, "n"]
    tongue: Float[np.ndarray, "n"]
    place: Float[np.ndarray, "n 2"]
    """Atlas place, v up."""


@cache
def texels(size: int) -> Texels:
    """The head's square at `size` x `size` texels."""
    mesh = head_mesh()
    upper = mesh.points[:, 1] > 0.278
    rim = np.isin(mesh.ring, ["rim", "under"]) + 0.75 * (mesh.ring == "margin")
    values = {
        "points": mesh.points,
        "skin": (mesh.part == SKIN) * (mesh.kind != rings.MOUTH_BAG),
        "bag": mesh.kind == rings.MOUTH_BAG,
        "lips": lip_weight(mesh),
        "lid_rim": rim,
        "upper_rim": rim * upper,
        "crease": (mesh.ring == "lid2") * upper,
        "eye": eye_angle(mesh),
        "teeth": np.isin(mesh.part, [UPPER_TEETH, LOWER_TEETH]),
        "tongue": mesh.part == TONGUE,
        "place": mesh.atlas,
    }
    columns = np.concatenate([np.asarray(v, float).reshape(len(mesh.points), -1) for v in values.values()], -1)
    table = _drawn(mesh.atlas, mesh.triangles, columns, size)
    widths = np.cumsum([3, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    parts = np.split(table, widths, axis=-1)
    return Texels(*(part if part.shape[-1] > 1 else part[:, 0] for part in parts))


def _drawn(atlas: np.ndarray, triangles: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Vertex values at the texels of the head's square, [size * size, c]; 0 where no triangle lies."""
    xy = np.ascontiguousarray((atlas * [2, -2] + [-1, 1])[None])
    depth, winner = np.ones((1, len(atlas))), np.empty((1, size, size), np.int64)
    kernels.draw(xy, depth, triangles, winner)
    weights, out = np.empty((1, size, size, 3)), np.empty((1, values.shape[-1], size, size))
    kernels.barycentrics(xy, depth, triangles, winner, weights)
    kernels.interpolate(winner, weights, np.ascontiguousarray(values[None]), triangles, out)
    return out[0].reshape(values.shape[-1], -1).T


class _Canvas:
    """Factor [n] and added colour [n, 3], painted over layer by layer."""

    def __init__(self, count: int) -> None:
        self.factor = np.ones(count)
        self.added = np.zeros((count, 3))

    def cover(self, colour: tuple[float, float, float] | np.ndarray, weight: np.ndarray) -> None:
        """Blend an opaque colour over what is there."""
        self.factor *= 1 - weight
        self.added += weight[:, None] * (np.asarray(colour) - self.added)

    def darken(self, weight: np.ndarray) -> None:
        """Multiply what is there by 1 - weight."""
        self.factor *= 1 - weight
        self.added *= (1 - weight)[:, None]


def _noise(rng: np.random.Generator, size: int, blur: tuple[float, float]) -> np.ndarray:
    """Smooth noise over the square with deviation 1; blur in atlas shares (down, across)."""
    field = gaussian_filter(rng.standard_normal((size, size)), [max(b * size, 0.4) for b in blur], mode="wrap")
    return (field / field.std()).ravel()


def _paint_skin(canvas: _Canvas, texel: Texels, look: Look, size: int, rng: np.random.Generator) -> None:
    p, bare = texel.points, texel.skin * (1 - texel.lips)
    grain = 0.022 * _noise(rng, size, (0.002, 0.002)) + 0.020 * _noise(rng, size, (0.012, 0.012))
    canvas.darken(np.clip(-grain * bare, -0.1, 0.1))
    freckles = ramp(_noise(rng, size, (0.0035, 0.0035)), 1.1, 1.7) * pair(p, (0.25, 0.0, 0.3), (0.3, 0.16, 0.3)) * bare
    canvas.cover((0.42, 0.24, 0.14), 0.65 * look.freckles * freckles)
    fold = np.exp(-(((np.abs(p[:, 0]) - (0.17 - 0.42 * (p[:, 1] + 0.10))) / 0.014) ** 2))
    fold *= ramp(p[:, 1], -0.40, -0.28) * ramp(p[:, 1], -0.06, -0.14) * (p[:, 2] > 0)
    brow_lines = np.exp(-(((p[:, 1] - 0.66 - 0.02 * np.cos(p[:, 0] * 6)) / 0.010) ** 2))
    brow_lines += np.exp(-(((p[:, 1] - 0.76 - 0.02 * np.cos(p[:, 0] * 6)) / 0.010) ** 2))
    brow_lines *= ramp(np.abs(p[:, 0]), 0.40, 0.25) * (p[:, 2] > -0.1)
    canvas.darken((0.30 * look.lines * fold + 0.16 * look.lines * brow_lines) * bare)
    nostril = pair(p, (0.062, -0.135, 0.42), (0.030, 0.016, 0.05))
    canvas.cover((0.10, 0.045, 0.04), np.clip(0.9 * nostril, 0, 1) * bare)
    if look.mole:
        near = np.exp(-((p[:, 0] - look.mole[0]) ** 2 + (p[:, 1] - look.mole[1]) ** 2) / 0.014**2) * (p[:, 2] > 0)
        canvas.cover((0.16, 0.08, 0.06), 0.85 * near * bare)


def _paint_hair(canvas: _Canvas, texel: Texels, look: Look, size: int, rng: np.random.Generator) -> None:
    """Brows, the shadow of hair on the scalp, beard and moustache."""
    p, skin = texel.points, texel.skin * (1 - 0.95 * np.clip(texel.lips * 1.3, 0, 1))
    strands = _noise(rng, size, (0.006, 0.0012))
    brow = brow_weight(p, look.brow_thickness)
    canvas.cover(
        look.brow_colour, np.clip(look.brow_strength * np.clip(brow * 1.35, 0, 1) * (1 + 0.18 * strands), 0, 1) * skin
    )
    coverage = hair_coverage(p, look) + 0.02 * strands
    scalp = ramp(coverage, -0.06, 0.05) * (0.30 if look.hair == "bald" else 0.88)
    canvas.cover(look.hair_colour, np.clip(scalp * (1 + 0.1 * strands), 0, 1) * texel.skin)
    jaw = ramp(p[:, 1], -0.30, -0.46) * ramp(p[:, 2], -0.48, -0.30)
    sides = ramp(np.abs(p[:, 0]), 0.46, 0.58) * ramp(p[:, 1], 0.15, -0.05) * ramp(p[:, 2], -0.50, -0.34)
    chin = np.clip(np.maximum(jaw, sides) + 0.15 * strands * (jaw > 0.02), 0, 1)
    soul = 1 - 0.8 * blob(p, (0.0, -0.49, 0.4), (0.10, 0.035, 0.2))
    canvas.cover(look.brow_colour, np.clip(look.beard * 0.85 * chin * soul * (1 + 0.15 * strands), 0, 0.93) * skin)
    above = np.exp(-(((p[:, 1] + 0.245 + 0.25 * p[:, 0] ** 2) / 0.038) ** 2)) * ramp(np.abs(p[:, 0]), 0.28, 0.18)
    canvas.cover(
        look.brow_colour, np.clip(look.moustache * 0.9 * above * (1 + 0.2 * strands), 0, 0.93) * skin * (p[:, 2] > 0.1)
    )


def _paint_eyes(canvas: _Canvas, texel: Texels, look: Look, rng: np.random.Generator) -> None:
    eye = texel.eye
    ball = (eye < 100) & (texel.skin < 0.01) & (texel.bag < 0.01)
    centre = np.where(texel.place[:, :1] > 0.5, sculpt.EYE_CENTRE, sculpt.EYE_CENTRE * [-1, 1, 1])
    offset = texel.points - centre
    turn = np.arctan2(offset[:, 1], offset[:, 0])
    canvas.cover((0.87, 0.85, 0.83), ball * 1.0)
    canvas.cover((0.74, 0.52, 0.48), ball * 0.5 * ramp(eye, 38.0, 75.0))
    fibres = 1 + 0.16 * np.sin(turn * 17 + rng.uniform(0.0, 6)) + 0.12 * np.sin(turn * 29)
    iris = np.asarray(look.iris) * (fibres * (0.75 + 0.5 * ramp(eye, 24.0, 12.0)))[:, None]
    inside = ball * ramp(eye, 27.0, 24.5)
    canvas.factor *= 1 - inside
    canvas.added += inside[:, None] * (iris - canvas.added)
    canvas.cover((0.05, 0.04, 0.04), ball * 0.75 * np.exp(-(((eye - 25.5) / 1.8) ** 2)))
    canvas.cover((0.015, 0.015, 0.015), ball * ramp(eye, 12.0, 9.5))
    glint = np.hypot(offset[:, 0] + 0.028, offset[:, 1] - 0.036)
    canvas.cover((1.0, 1.0, 1.0), ball * 0.9 * ramp(glint, 0.022, 0.012))


def _paint_lids_and_mouth(canvas: _Canvas, texel: Texels, look: Look) -> None:
    p, lips = texel.points, np.clip(texel.lips * 1.2, 0, 1) * texel.skin
    canvas.cover(look.lip_colour, look.lipstick * lips)
    line = np.exp(-(((np.abs(p[:, 1] - rings.mouth_line(np.clip(np.abs(p[:, 0]) / 0.245, 0, 1)))) / 0.010) ** 2))
    canvas.darken(0.45 * line * texel.lips * (texel.skin > 0.5))
    canvas.darken(np.clip(0.25 * texel.crease, 0, 1))
    canvas.cover(
        (0.04, 0.03, 0.03),
        np.clip(look.lashes * (0.95 * texel.upper_rim + 0.30 * (texel.lid_rim - texel.upper_rim)), 0, 0.97),
    )
    gaps = np.abs(np.sin(p[:, 0] * np.pi / 0.068)) ** 12
    white = texel.teeth * ramp(np.abs(texel.place[:, 1] - 0.0775), 0.052, 0.046)
    canvas.cover((0.64, 0.33, 0.31), texel.teeth * (1 - white))
    canvas.darken(white * (0.35 * gaps + 0.35 * ramp(np.abs(p[:, 0]), 0.10, 0.22)))


def _head_square(look: Look, size: int) -> np.ndarray:
    texel, rng = texels(size), np.random.default_rng(look.seed)
    canvas = _Canvas(size * size)
    _paint_skin(canvas, texel, look, size, rng)
    _paint_lids_and_mouth(canvas, texel, look)
    _paint_hair(canvas, texel, look, size, rng)
    _paint_eyes(canvas, texel, look, rng)
    return np.concatenate([canvas.added, canvas.factor[:, None]], -1).reshape(size, size, 4)


def strip(look: Look, size: int) -> Float[np.ndarray, "size w 4"]:
    """Hair (upper half) and neck with cloth (lower half), [size, size / 2, 4]."""
    rng = np.random.default_rng(look.seed + 1)
    out = np.zeros((size, size // 2, 4))
    out[..., 3] = 1.0
    half = size // 2
    long = gaussian_filter(rng.standard_normal((half, half)), (size * 0.05, 0.7), mode="wrap")
    broad = gaussian_filter(rng.standard_normal((half, half)), (size * 0.06, size * 0.012), mode="wrap")
    strands = 1 + 0.22 * long / long.std() + 0.22 * broad / broad.std()
    out[:half, :, :3] = np.asarray(look.hair_colour) * np.clip(strands, 0.3, 2.2)[..., None]
    out[:half, :, 3] = 0
    v = 1 - (np.arange(half, size) + 0.5)[:, None] / size
    y = (v - 0.49) / 0.47 * 1.98 - 0.42
    front = np.linspace(1.0, 0.0, half)[None]
    collar = -1.10 - look.neckline * ramp(front, 0.60, 1.0)
    cloth = ramp(y - collar, 0.012, -0.012)
    weave = 1 + 0.05 * rng.standard_normal((half, half))
    hem = 1 - 0.3 * np.exp(-(((y - collar + 0.05) / 0.012) ** 2))
    out[half:, :, :3] = (cloth * weave * hem)[..., None] * np.asarray(look.cloth)
    out[half:, :, 3] = 1 - cloth
    return out


def paint(look: Look, size: int) -> Float32[np.ndarray, "h w 4"]:
    """The actor's atlas, `size` high and 1.5 times as wide: added RGB and the factor on the model's albedo."""
    atlas = np.concatenate([_head_square(look, size), strip(look, size)], axis=1)
    return np.ascontiguousarray(atlas, dtype=np.float32)
