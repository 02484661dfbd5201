"""The toy world's people on ICT-FaceKit: the same names, seeds and movements on another head."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from datamodules.toy_mead import appearance_shade as shade
from datamodules.toy_mead.actors import LIT, SUPERSAMPLING, Actor, atlas_size_for, background_of, make_actor
from datamodules.toy_mead.ict_appearance import (
    EAR_TUCK,
    added,
    atlas,
    eye_places,
    hides_ears,
    paint_vertices,
    skin_colour,
)
from datamodules.toy_mead.ict_head import EYE_OFFSET, LEFT_EYE, RIGHT_EYE, SKIN, combined, ict_head
from datamodules.toy_mead.ict_movements import movement_map, rest
from face3d import kernels
from face3d.camera import project, rotation
from face3d.coefficients import ANGLE, EXPRESSION, GAMMA, IDENTITY, TEXTURE, TRANSLATION

IDENTITY_DEVIATION = 0.6
GAZE = 0.5
"""Rotation of an eyeball at full strength, in rad; ICT-FaceKit's own axes move the lids alone."""

SUNK = 0.03
"""How far a shut eye draws its ball back, in decimetres, so that the cornea stays behind thin lids."""


@dataclass(frozen=True, eq=False)
class IctActor(Actor):
    """An actor whose coefficients are ICT-FaceKit's: 80 identity, then expression by its own names, no texture."""

    path: Path
    skin: tuple[float, float, float]


def make_ict_actor(name: str, seed: int, path: Path) -> IctActor:
    """The actor of that name in the world of that seed, with the look and the light it has on the procedural head."""
    actor = make_actor(name, seed)
    coefficients = actor.coefficients.copy()
    rng = np.random.default_rng([actor.look.seed, 0x1C7])
    coefficients[IDENTITY] = rng.normal(0, IDENTITY_DEVIATION, 80)
    coefficients[TEXTURE] = 0
    red, green, blue = skin_colour(actor.coefficients[TEXTURE]).tolist()
    return IctActor(name, actor.sex, coefficients, actor.look, path, (red, green, blue))


def _padded(expression: np.ndarray) -> np.ndarray:
    return np.pad(expression, ((0, 0), (0, 64 - expression.shape[1])))


def in_ict_axes(actor: IctActor, rows: Float32[np.ndarray, "t 257"]) -> Float32[np.ndarray, "t 257"]:
    """Coefficients whose expression is in the procedural head's axes, as those of ICT-FaceKit."""
    names = ict_head(actor.path).expression_names
    result = rows.copy()
    result[:, EXPRESSION] = _padded(rest(names) + rows[:, EXPRESSION] @ movement_map(names))
    return result


def ict_keypoints(actor: IctActor, coefficients: Float32[np.ndarray, "t 257"]) -> Float32[np.ndarray, "t 68 2"]:
    """The 68 landmarks of the actor, in normalised coordinates of the camera frame."""
    head, rows = ict_head(actor.path), torch.from_numpy(coefficients)
    at = head.keypoints
    identity = combined(coefficients[:, IDENTITY], head.identity[:, at])
    expression = coefficients[:, EXPRESSION][:, : len(head.expression)]
    points = head.mean[at] + identity + combined(expression, head.expression[:, at])
    frame = torch.tensor([1.0, 0.0, 0.0]).expand(len(rows), 3)
    return project(torch.from_numpy(points), rows[:, ANGLE], rows[:, TRANSLATION], frame)[0].numpy()


class _Stage:
    """All that is the same in every frame of an actor: shapes, colours, atlas, shadows."""

    def __init__(self, actor: IctActor, size: int) -> None:
        head = ict_head(actor.path)
        self.head, self.rest = head, head.shape(actor.coefficients[IDENTITY])
        if hides_ears(actor.look):
            self.rest[head.ear, 0] = np.clip(self.rest[head.ear, 0], -EAR_TUCK, EAR_TUCK)
        more = added(head, self.rest.astype(float), actor.look, size)
        self.added = more.points.astype(np.float32)
        self.triangles = np.concatenate([head.triangles, more.triangles + len(self.rest)])
        self.places = np.concatenate([eye_places(head, size), more.places]).astype(np.float32)
        self.atlas = atlas(actor.look, size)
        self.albedo = np.concatenate([paint_vertices(head, actor.look, np.array(actor.skin)), more.albedo])
        self.shadow = np.concatenate([head.shadow, more.shadow])
        shine = np.where(head.part == SKIN, actor.look.shine, 0.0)
        self.shine = np.concatenate([shine, np.zeros(len(more.points))])
        self.follows = np.concatenate([head.follows, more.follows]).astype(np.float32)[:, None]
        self.eyes = [_Eye(self, part, side) for part, side in ((LEFT_EYE, "L"), (RIGHT_EYE, "R"))]

    def points(self, rows: Float32[np.ndarray, "t 257"]) -> Float32[np.ndarray, "t v 3"]:
        """All vertices, turned with the head as far as they follow it."""
        head = self.head
        expression = rows[:, EXPRESSION][:, : len(head.expression)]
        moved = self.rest + combined(expression, head.expression)
        for eye in self.eyes:
            moved[:, eye.at] = eye.turned(expression)
        still = np.concatenate([moved, np.broadcast_to(self.added, (len(rows), *self.added.shape))], axis=1)
        turned = still @ rotation(torch.from_numpy(rows[:, ANGLE])).numpy()
        return still + self.follows * (turned - still)


class _Eye:
    """An eyeball, which turns about its middle."""

    def __init__(self, stage: _Stage, part: int, side: str) -> None:
        names = list(stage.head.expression_names)
        self.at = np.flatnonzero(stage.head.part == part)
        self.centre = (stage.rest[self.at].mean(0) + EYE_OFFSET).astype(np.float32)
        self.ball = stage.rest[self.at] - self.centre
        left, right = ("LookOut", "LookIn") if side == "L" else ("LookIn", "LookOut")
        self.axes = [names.index(f"eye{way}_{side}") for way in ("LookDown", "LookUp", left, right, "Blink")]

    def turned(self, expression: Float[np.ndarray, "t e"]) -> Float32[np.ndarray, "t n 3"]:
        """Its vertices under the gaze that the expression holds."""
        down, up, left, right, shut = expression[:, self.axes].T
        angle = np.stack([GAZE * (down - up), GAZE * (left - right), np.zeros(len(expression))], -1)
        turned = self.ball @ rotation(torch.from_numpy(angle.astype(np.float32))).numpy()
        return turned + self.centre - (SUNK * shut)[:, None, None] * np.array([0, 0, 1], np.float32)


@lru_cache(maxsize=8)
def _stage(actor: IctActor, size: int) -> _Stage:
    return _Stage(actor, size)


def render_ict_frames(
    actor: IctActor, coefficients: Float32[np.ndarray, "t 257"], placement: Float32[np.ndarray, "t 3"], size: int
) -> UInt8[np.ndarray, "t size size 3"]:
    """Pictures of the actor, RGB: coefficients of ICT-FaceKit in Deep3DFaceRecon's camera, placed in the crop."""
    stage, background = _stage(actor, atlas_size_for(size)), background_of(actor.look, size)
    frames = np.empty((len(coefficients), size, size, 3), np.uint8)
    rows, places = torch.from_numpy(coefficients), torch.from_numpy(placement)
    for start in range(0, len(rows), 8):
        part = slice(start, start + 8)
        points = stage.points(coefficients[part])
        xy, depth = project(
            torch.from_numpy(points), torch.zeros(len(points), 3), rows[part, TRANSLATION], places[part]
        )
        for offset in range(len(points)):
            row = coefficients[start + offset]
            _draw(
                stage,
                points[offset],
                row,
                xy[offset].numpy(),
                depth[offset].numpy(),
                background,
                frames[start + offset],
            )
    return frames


def _draw(
    stage: _Stage,
    points: np.ndarray,
    row: np.ndarray,
    xy: np.ndarray,
    depth: np.ndarray,
    background: np.ndarray,
    out: np.ndarray,
) -> None:
    normal, lit = np.empty_like(points), np.empty((len(points), 7), np.float32)
    shade.normals(points, stage.triangles, normal)
    shade.light(normal, row[GAMMA].reshape(3, 9), stage.shadow, stage.albedo, stage.shine, LIT, lit)
    fine = len(out) * SUPERSAMPLING
    winner = np.empty((1, fine, fine), np.int64)
    triangles = stage.triangles[_facing(xy, stage.triangles, len(stage.head.triangles))]
    kernels.draw(np.ascontiguousarray(xy[None]), np.ascontiguousarray(depth[None]), triangles, winner)
    shade.paint(winner[0], xy, depth, triangles, lit, stage.places, stage.atlas, background, SUPERSAMPLING, out)


def _facing(xy: np.ndarray, triangles: np.ndarray, closed: int) -> np.ndarray:
    """Which triangles may be seen: of the first `closed`, those that turn their outside to the viewer; all others."""
    x, y = np.take(xy[:, 0], triangles[:closed]).T, np.take(xy[:, 1], triangles[:closed]).T
    outside = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]) < 0
    return np.concatenate([outside, np.ones(len(triangles) - closed, bool)])
