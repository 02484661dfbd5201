"""The toy world's people: who they are as coefficients, what they look like, and images of them."""

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from face3d import kernels
from face3d.camera import project, rotation
from face3d.coefficients import ANGLE, EXPRESSION, GAMMA, IDENTITY, NUM_COEFFICIENTS, TEXTURE, TRANSLATION
from toyworld import appearance_shade as shade
from toyworld.appearance import Look, random_look
from toyworld.appearance_atlas import paint
from toyworld.appearance_extras import EAR, HAIR, NECK, Extras, extras
from toyworld.face.head import procedural_head
from toyworld.face.identity import FEATURE_NAMES, IDENTITY_NAMES, head_fields
from toyworld.face.parts import LEFT_EYE, RIGHT_EYE, SKIN, TONGUE, head_mesh
from toyworld.face.sculpt import distance

SUPERSAMPLING = 2
IDENTITY_SPREAD = 0.5
"""Deviation of actors on the head's identity axes: at 1, brows and lips at rest differ as much as they ever move."""

LIT = np.array([math.sqrt(math.pi) / 2, math.sqrt(math.pi), 1.5 * math.sqrt(5 * math.pi / 6)])
"""Weights of the three orders of spherical harmonics in Deep3DFaceRecon's shading."""

_SEX_TRAITS = {
    "jaw width": 0.7, "chin width": 0.6, "brow ridge": 0.8, "brow height": -0.7, "nose projection": 0.5,
    "nose width": 0.4, "lower face height": 0.5, "upper lip": -0.4, "lower lip": -0.4, "eye height": -0.3,
    "cheekbones": -0.3,
}  # fmt: skip
"""Mean of identity axes among men, in deviations; women have the opposite."""


@dataclass(frozen=True, eq=False)
class Actor:
    """A person: rest coefficients (own identity, texture and light, looking into the camera) and a look."""

    name: str
    sex: Literal["M", "W"]
    coefficients: Float32[np.ndarray, "257"]
    look: Look


def make_actor(name: str, seed: int) -> Actor:
    """The actor of that name in the world of that seed; names that begin with W are women."""
    digest = hashlib.sha256(f"actor/{seed}/{name}".encode()).digest()
    rng, sex = np.random.default_rng(list(digest)), "W" if name.upper().startswith("W") else "M"
    coefficients = np.zeros(NUM_COEFFICIENTS, np.float32)
    coefficients[IDENTITY] = IDENTITY_SPREAD * (rng.normal(0, 1, 80) + (1 if sex == "M" else -1) * _sex_means())
    darkness = float(np.clip(rng.beta(1.3, 1.8), 0, 1))
    texture = rng.normal(0, 0.8, 80)
    texture[:3] = 3.2 * darkness - 1.1, rng.normal(0.15, 0.6), rng.normal(-0.1, 0.6)
    coefficients[TEXTURE] = texture
    coefficients[GAMMA] = _light(rng)
    return Actor(name, sex, coefficients, random_look(rng, sex, darkness))


def _sex_means() -> Float[np.ndarray, "80"]:
    means = np.zeros(80)
    for trait, mean in _SEX_TRAITS.items():
        means[IDENTITY_NAMES.index(trait)] = mean
    return means


def _light(rng: np.random.Generator) -> Float[np.ndarray, "27"]:
    """A key light from the front, above and to one side, with a tint, over an even one."""
    direction = np.array([rng.normal(0, 0.45), rng.uniform(0.1, 0.6), 1.0])
    direction /= np.linalg.norm(direction)
    bands = np.zeros((3, 9))
    key = rng.uniform(0.17, 0.25) * (1 + 0.03 * rng.normal(size=3))
    bands[:, 0] = rng.uniform(-0.10, 0.0)
    bands[:, 1:4] = key[:, None] * direction[[1, 2, 0]] * [-1, 1, -1]
    return bands.ravel()


class _Stage:
    """All that is the same in every frame of an actor: meshes, atlas, shadows."""

    def __init__(self, actor: Actor, atlas_size: int) -> None:
        model, mesh, added = procedural_head(), head_mesh(), extras(actor.look)
        self.model, self.head_count = model, len(mesh.points)
        self.triangles = np.concatenate([mesh.triangles, added.triangles + self.head_count])
        self.atlas = paint(actor.look, atlas_size)
        places = np.concatenate([mesh.atlas, added.atlas])
        self.places = (np.stack([places[:, 0], 1 - places[:, 1]], -1) * atlas_size - 0.5).astype(np.float32)
        self.added, self.added_points = added, _identified(added, actor.coefficients[IDENTITY])
        self.shadow = np.concatenate([_head_shadow(), _added_shadow(added)])
        self.shine = _shine(actor.look, mesh.part, added)

    def vertices(self, rows: torch.Tensor) -> np.ndarray:
        """Model-space points of the head [t, v, 3]."""
        return self.model.shape(rows[:, IDENTITY], rows[:, EXPRESSION]).numpy()

    def albedo(self, row: torch.Tensor) -> np.ndarray:
        """Model albedo of all vertices; the added skin takes the jaw's."""
        head = self.model.texture(row[TEXTURE]).clamp(0.02, 0.98).numpy()
        jaw = head[self.model.keypoints[[3, 4, 12, 13]].numpy()].mean(0)
        return np.concatenate([head, np.tile(jaw, (len(self.added.points), 1))])


def _identified(added: Extras, identity: np.ndarray) -> np.ndarray:
    """The added points moved by the identity's fields; the neck less the lower it is."""
    fields = head_fields(added.points)
    axes = [index for index, name in enumerate(IDENTITY_NAMES) if name not in FEATURE_NAMES]
    moved = np.tensordot(identity[axes], fields, axes=1)
    return added.points + moved * np.where(added.material == NECK, added.follows, 1.0)[:, None]


def _head_shadow() -> np.ndarray:
    """Share of the light that reaches each vertex of the rest head: darker in hollows."""
    mesh = head_mesh()
    normal = np.empty_like(mesh.points)
    shade.normals(mesh.points, mesh.triangles, normal)
    reach = 0.12
    opened = np.clip(distance(mesh.points + reach * normal) / reach, 0, 1)
    shadow = np.where(mesh.part == SKIN, 0.45 + 0.55 * opened, np.where(mesh.part == TONGUE, 0.6, 0.9))
    for part, side in ((LEFT_EYE, 1), (RIGHT_EYE, -1)):
        height = mesh.points[:, 1] - 0.285
        across = np.abs(mesh.points[:, 0] - side * 0.313)
        ball = 1 - 0.40 * np.clip((height - 0.015) / 0.05, 0, 1) - 0.35 * np.clip((across - 0.06) / 0.08, 0, 1)
        shadow = np.where(mesh.part == part, ball, shadow)
    return shadow


def _added_shadow(added: Extras) -> np.ndarray:
    under_jaw = 0.5 + 0.5 * np.clip((-0.78 - added.points[:, 1]) / 0.4, 0, 1)
    neck = np.where(added.points[:, 1] > -1.2, under_jaw, 1.0)
    return np.where(added.material == NECK, neck, np.where(added.material == EAR, 0.85, 1.0))


def _shine(look: Look, part: np.ndarray, added: Extras) -> np.ndarray:
    head = np.where((part == LEFT_EYE) | (part == RIGHT_EYE), 0.0, look.shine)
    return np.concatenate([head, np.where(added.material == HAIR, 0.5 * look.shine, 0.0)])


@lru_cache(maxsize=16)
def _stage(actor: Actor, atlas_size: int) -> _Stage:
    return _Stage(actor, atlas_size)


def background_of(look: Look, size: int) -> Float32[np.ndarray, "s s 3"]:
    """A soft vertical change between two colours, brighter to one side."""
    y, x = np.mgrid[:size, :size] / size
    top, bottom = (np.array(colour) for colour in look.background)
    mix = np.clip(y + 0.25 * np.sin(3 * x + look.seed % 7), 0, 1)[..., None]
    return ((1 - mix) * top + mix * bottom).astype(np.float32)


def atlas_size_for(size: int) -> int:
    """Texels across the head's square for images of that size: two for each pixel, within 128..1024."""
    return int(min(max(2 * size, 128), 1024))


def render_frames(
    actor: Actor, coefficients: Float32[np.ndarray, "t 257"], placement: Float32[np.ndarray, "t 3"], size: int
) -> UInt8[np.ndarray, "t size size 3"]:
    """Images of the actor, RGB: the coefficients in Deep3DFaceRecon's camera, put into the crop by `placement`."""
    stage = _stage(actor, atlas_size_for(size))
    rows, places = torch.from_numpy(coefficients), torch.from_numpy(placement)
    frames = np.empty((len(rows), size, size, 3), np.uint8)
    background = background_of(actor.look, size)
    albedo = stage.albedo(rows[0]) if len(rows) else np.empty((0, 3))
    for start in range(0, len(rows), 32):
        part = slice(start, start + 32)
        head = stage.vertices(rows[part])
        posed = _posed(stage, head, rows[part])
        xy, depth = project(torch.from_numpy(posed), torch.zeros(len(posed), 3), rows[part, TRANSLATION], places[part])
        for offset in range(len(posed)):
            lit = _lit(stage, posed[offset], rows[start + offset, GAMMA].numpy(), albedo)
            _draw(stage, xy[offset].numpy(), depth[offset].numpy(), lit, background, frames[start + offset])
    return frames


def _posed(stage: _Stage, head: np.ndarray, rows: torch.Tensor) -> np.ndarray:
    """All vertices turned with the head, the neck and chest only in part; [t, v, 3]."""
    turn = rotation(rows[:, ANGLE]).numpy()
    still = stage.added_points.astype(np.float32)
    follows = stage.added.follows[:, None].astype(np.float32)
    added = follows * (still @ turn) + (1 - follows) * still
    return np.concatenate([head @ turn, added], axis=1)


def _lit(stage: _Stage, points: np.ndarray, gamma: np.ndarray, albedo: np.ndarray) -> np.ndarray:
    normal, out = np.empty_like(points), np.empty((len(points), 7), np.float32)
    shade.normals(points, stage.triangles, normal)
    shade.light(normal, gamma.reshape(3, 9), stage.shadow, albedo, stage.shine, LIT, out)
    return out


def _draw(
    stage: _Stage, xy: np.ndarray, depth: np.ndarray, lit: np.ndarray, background: np.ndarray, out: np.ndarray
) -> None:
    fine = len(out) * SUPERSAMPLING
    winner = np.empty((1, fine, fine), np.int64)
    kernels.draw(np.ascontiguousarray(xy[None]), np.ascontiguousarray(depth[None]), stage.triangles, winner)
    shade.paint(winner[0], xy, depth, stage.triangles, lit, stage.places, stage.atlas, background, SUPERSAMPLING, out)
