"""The people of the toy world, as the rest of it needs them: a face at rest as coefficients, and rendered frames.

Everything is performed in the procedural head's expression axes; `worn` turns that into the coefficients of the head
that an actor wears, which are what is rendered and written.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from conventions.errors import UserError
from datamodules.toy_mead import actors
from datamodules.toy_mead.actors import Actor
from datamodules.toy_mead.ict_actors import IctActor, ict_keypoints, in_ict_axes, make_ict_actor, render_ict_frames
from datamodules.toy_mead.ict_head import SOURCE, ict_head

HeadName = Literal["procedural", "ict"]


@dataclass(frozen=True)
class Head:
    """The head that everyone in a world has: the procedural one, or ICT-FaceKit's from the user's own copy."""

    name: HeadName = "procedural"
    path: Path | None = None

    @property
    def model(self) -> str:
        """The morphable model's name, as coefficient files give it."""
        return "ict" if self.name == "ict" else "procedural-v1"

    def check(self) -> None:
        """UserError unless the head can be had."""
        if self.name not in ("procedural", "ict"):
            raise UserError(f"head: {self.name!r} is unknown; valid: procedural, ict")
        if self.name == "ict" and self.path is None:
            raise UserError(f"head ict: give the path of your copy of ICT-FaceKit (MIT licence, {SOURCE}) with --ict")
        if self.name == "procedural" and self.path is not None:
            raise UserError(f"head procedural: needs no file; did you mean --head ict --ict {self.path}?")
        if self.path is not None:
            ict_head(self.path)


PROCEDURAL = Head()


def make_actor(name: str, seed: int, head: Head = PROCEDURAL) -> Actor:
    """The actor of that name in the world of that seed; names that begin with W are women."""
    return make_ict_actor(name, seed, head.path) if head.path is not None else actors.make_actor(name, seed)


def face_at_rest(actor: Actor) -> Float32[np.ndarray, "257"]:
    """Coefficients to perform on: no expression, looking into the camera, in the actor's own light."""
    return actor.coefficients


def worn(actor: Actor, coefficients: Float32[np.ndarray, "t 257"]) -> Float32[np.ndarray, "t 257"]:
    """What was performed, in the expression axes of the head that the actor wears."""
    return in_ict_axes(actor, coefficients) if isinstance(actor, IctActor) else coefficients


def keypoints(actor: Actor, coefficients: Float32[np.ndarray, "t 257"]) -> Float32[np.ndarray, "t 68 2"] | None:
    """Landmarks in normalised coordinates of the camera frame, of a head that whoever reads the files may not have."""
    return ict_keypoints(actor, coefficients) if isinstance(actor, IctActor) else None


def render_frames(
    actor: Actor, coefficients: Float32[np.ndarray, "t 257"], placement: Float32[np.ndarray, "t 3"], size: int
) -> UInt8[np.ndarray, "t size size 3"]:
    """Pictures of the actor, RGB, from coefficients of its own head."""
    if isinstance(actor, IctActor):
        return render_ict_frames(actor, coefficients, placement, size)
    return actors.render_frames(actor, coefficients, placement, size)
