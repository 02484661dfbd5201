"""The 68 iBUG landmarks of a picture, from MediaPipe's Face Landmarker (478 points)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from face3d.landmarker import Landmarker

RIVAL_SIZE = 0.5
"""A second face counts as a rival of the first when it is at least this share of its width."""


class Faces(NamedTuple):
    """What was found in one picture: the largest face, and whether there is another of like size."""

    landmarks: Float[np.ndarray, "68 2"]
    """(x, y) in pixels from the picture's outer corner: the middle of the first pixel is (0.5, 0.5)."""
    rival: bool


def find_faces(landmarker: Landmarker, picture: UInt8[np.ndarray, "h w 3"]) -> Faces | None:
    """The largest face of an RGB picture, or None."""
    size = np.array([picture.shape[1], picture.shape[0]], np.float32)
    faces = [face * size for face in landmarker.detect(picture)]
    if not faces:
        return None
    widths = [float(np.ptp(face[:, 0])) for face in faces]
    return Faces(faces[0], any(width >= RIVAL_SIZE * widths[0] for width in widths[1:]))
