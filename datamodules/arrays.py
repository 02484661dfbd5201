"""The arrays of a store: type and shape of what each holds for a video frame."""

from typing import NamedTuple

import numpy as np

from conventions.rates import MEL_BINS, MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS, SAMPLES_PER_FRAME
from datamodules.audio import MFCC_MARGIN
from face3d.coefficients import NUM_COEFFICIENTS

FRAMES = "frames.bin"
FRAME_ENDS = "frame_ends"

EXACT = "exact"
"""An array beside `coefficients` in shards whose clips were rendered: the 3DMM vectors that they were rendered from."""

INT16_MAX = 32767
"""Audio in [-1, 1] is stored as integers in -32767 .. 32767."""


class Form(NamedTuple):
    """One array."""

    kind: type
    shape: tuple[int, ...]
    """Of a row (one video frame)."""
    margin: int = 0
    """Rows beyond the clip's own that lie before its first and after its last."""


ARRAYS: dict[str, Form] = {
    "coefficients": Form(np.float32, (NUM_COEFFICIENTS,)),
    "placement": Form(np.float32, (3,)),
    "mfcc": Form(np.float32, (MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS), MFCC_MARGIN),
    "mel": Form(np.float32, (MEL_STEPS_PER_FRAME, MEL_BINS)),
    "landmarks": Form(np.float32, (68, 2)),
    "audio": Form(np.int16, (SAMPLES_PER_FRAME,)),
}
"""By name; of MFCC the steps of 10 ms are stored, of which each frame's window is a view."""
