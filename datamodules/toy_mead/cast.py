"""The people of the toy world, as the rest of it needs them: a face at rest as coefficients, and rendered frames."""

import numpy as np
from jaxtyping import Float32

from datamodules.toy_mead.actors import Actor, make_actor, render_frames

__all__ = ["Actor", "face_at_rest", "make_actor", "render_frames"]


def face_at_rest(actor: Actor) -> Float32[np.ndarray, "257"]:
    """An actor's coefficients with no expression, looking into the camera, in its own light."""
    return actor.coefficients
