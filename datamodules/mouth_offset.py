"""How many frames a clip's audio lags behind the mouth, measured by what both show and corrected where that is sure."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from datamodules.row_offset import agreement

MOST = 12
"""Greatest lag that is looked for, in frames."""
LEAST_FRAMES = 100
"""Fewer frames beyond the lags at either end decide nothing."""
SURE = 0.4
"""Least correlation of the mouth's opening with its prediction from the audio."""
LEAD = 0.25
"""Least distance of the best lag's correlation from that of any lag more than `NEAR` frames from it."""
NEAR = 2
"""Frames within which lags are hardly told apart; a clip off by no more is left as it is."""
BANDS = 8


class Lag(NamedTuple):
    """What was measured."""

    frames: int
    """The audio of what the mouth does comes so many frames later; negative: earlier."""
    sure: bool


def measure_lag(opening: Float[np.ndarray, " t"], mel: Float[np.ndarray, "t 4 80"]) -> Lag | None:
    """The lag of the audio (log-mel in dB) behind the mouth's opening; None where the clip is too short to measure it.

    At each lag the opening of each part of the clip is predicted by ridge regression on the other parts: from loudness,
    from 8 bands of a frame, and from those of three frames; the three correlations are averaged. On 26 real clips
    against 228 pairs of the image of one with the audio of another, 8 of the clips and 0.9 % of the pairs are sure.
    """
    inner = np.arange(MOST, len(opening) - MOST)
    if len(inner) < LEAST_FRAMES - 2 * MOST or opening[inner].std() == 0:
        return None
    views = _views(mel)
    lags = np.arange(-MOST, MOST + 1)
    scores = np.array([np.mean([agreement(view[inner + lag], opening[inner]) for view in views]) for lag in lags])
    best = int(scores.argmax())
    far = scores[np.abs(lags - lags[best]) > NEAR]
    return Lag(int(lags[best]), bool(scores[best] >= SURE and scores[best] - far.max() >= LEAD))


def _views(mel: np.ndarray) -> list[np.ndarray]:
    """Loudness, bands, and bands of three frames, each dimension at unit deviation."""
    columns = mel.astype(np.float64).mean(axis=1)
    bands = columns.reshape(len(columns), BANDS, -1).mean(axis=2)
    padded = np.pad(bands, ((1, 1), (0, 0)), "edge")
    views = [columns[:, 2:60].mean(axis=1, keepdims=True), bands, np.hstack([padded[:-2], bands, padded[2:]])]
    return [view / (view.std(axis=0) + 1e-9) for view in views]
