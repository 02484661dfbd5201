"""What a monocular tracker would measure of a toy clip: noisy landmarks and a regularised fit, drawn by a seed.

The landmarks are the exact ones with three errors of a detector: one of the person, one of the clip, and one of each
frame that changes slowly. `face3d.fitting.refit` finds the coefficients, with the priors and ranges of every landmark
fit, started at the truth so that it costs 30 ms a clip. What landmarks do not show (gaze, tongue, much of an actor's
own skin) is lost, and what they show faintly is shrunk and mixed. Skin and light are no part of a landmark fit and
stay exact.

`python -m studies.tracker` measures the constants below on MediaPipe's landmarks of rendered toy clips, and compares
the fits to these landmarks, axis by axis, with this model. The error that all people share there (up to 0.05:
MediaPipe's landmarks of brows and jaw lie elsewhere than the head's) is left out: a tracker is made for its own model.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32, Float64

from datamodules.coefficients import project_keypoints
from face3d.coefficients import GAMMA, TEXTURE
from face3d.fitting import refit
from face3d.keypoints import BROWS, EYES, JAW, MOUTH, NOSE, NUM_KEYPOINTS
from face3d.morphable import PROCEDURAL, load_model
from toyworld import rng_of

PARTS = {"jaw": JAW, "brows": BROWS, "nose": NOSE, "eyes": EYES, "mouth": MOUTH}

PERSON = {
    "jaw": (0.005, 0.010), "brows": (0.003, 0.004), "nose": (0.002, 0.005),
    "eyes": (0.003, 0.002), "mouth": (0.004, 0.002),
}  # fmt: skip
"""Deviation (x, y) among people of a landmark's constant error, in normalised units (0.01: 1.3 px of 256)."""
CLIP = {
    "jaw": (0.006, 0.006), "brows": (0.007, 0.007), "nose": (0.003, 0.004),
    "eyes": (0.002, 0.002), "mouth": (0.007, 0.003),
}  # fmt: skip
"""The same among a person's clips."""
FRAME = {
    "jaw": (0.004, 0.007), "brows": (0.004, 0.004), "nose": (0.002, 0.003),
    "eyes": (0.003, 0.005), "mouth": (0.006, 0.006),
}  # fmt: skip
"""The same among a clip's frames."""
MEMORY = 0.75
"""Correlation of an error with that of the frame before."""


def measured(
    coefficients: Float32[np.ndarray, "t 257"], placement: Float32[np.ndarray, "t 3"], seed: int, names: Sequence[str]
) -> Float32[np.ndarray, "t 257"]:
    """What is measured of the exact coefficients of a clip; `names` are the actor's and what else names the clip."""
    error = landmark_errors(len(coefficients), seed, names)
    landmarks = project_keypoints(PROCEDURAL, coefficients, placement) + error
    places, start = torch.from_numpy(placement), torch.from_numpy(coefficients)
    found = refit(load_model(PROCEDURAL), torch.from_numpy(landmarks.astype(np.float32)), places, start)
    result = found.coefficients.numpy()
    for part in (TEXTURE, GAMMA):
        result[:, part] = coefficients[:, part]
    return result


def landmark_errors(num_frames: int, seed: int, names: Sequence[str]) -> Float64[np.ndarray, "t 68 2"]:
    """Errors of the landmarks of a clip, in normalised units."""
    size = (NUM_KEYPOINTS, 2)
    person = rng_of(seed, "tracker", names[0]).normal(size=size) * _table(PERSON)
    rng = rng_of(seed, "tracker", *names)
    clip, frames = rng.normal(size=size) * _table(CLIP), rng.normal(size=(num_frames, *size))
    for index in range(1, num_frames):
        frames[index] = MEMORY * frames[index - 1] + np.sqrt(1 - MEMORY**2) * frames[index]
    return person + clip + frames * _table(FRAME)


def _table(deviations: dict[str, tuple[float, float]]) -> Float64[np.ndarray, "68 2"]:
    table = np.zeros((NUM_KEYPOINTS, 2))
    for name, rows in PARTS.items():
        table[rows] = deviations[name]
    return table
