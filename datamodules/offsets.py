"""What begins early or late in the files of a clip: its audio against video and mouth, its rows of coefficients."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Float

from conventions.errors import RejectedClip
from conventions.rates import SAMPLE_RATE
from datamodules.audio import begins_after_picture, read_audio, shifted
from datamodules.media import MAX_GAP_SECONDS

COMPARED_SECONDS = 30
"""How much of two recordings is compared."""
SAME_RECORDING = 0.5
"""Correlation at the best lag above which two recordings are of one speech."""


def read_sound(video: Path, audio: Path | None) -> tuple[Float[np.ndarray, " n"], float | None]:
    """A clip's audio from its first image on, and the seconds by which it began later (negative: earlier).

    Audio inside the video file is placed by the two streams' start times. An audio file of its own has a clock of its
    own (an encoder's priming alone can make it a frame late): it is laid where it sounds like the video's own track;
    without such a track nothing can be measured (None), and both files are taken to begin together.
    """
    if audio is None:
        return read_audio(video), begins_after_picture(video)
    waveform = read_audio(audio)
    offset = _against_track(video, waveform)
    return waveform if offset is None else shifted(waveform, offset), offset


def _against_track(video: Path, waveform: np.ndarray) -> float | None:
    """Seconds by which a recording must be moved to lie on the video's own audio; None where that is not the same."""
    try:
        track = read_audio(video)
    except RejectedClip:
        return None
    return lag_between(waveform, track)


def lag_between(waveform: Float[np.ndarray, " n"], reference: Float[np.ndarray, " m"]) -> float | None:
    """Seconds by which `waveform` must be delayed to agree with `reference`; None where it does at no lag.

    By cross-correlation, both at 16 kHz; lags up to `MAX_GAP_SECONDS`, to one sample.
    """
    most = round(MAX_GAP_SECONDS * SAMPLE_RATE)
    one, other = (sound[: COMPARED_SECONDS * SAMPLE_RATE].astype(np.float64) for sound in (waveform, reference))
    energy = np.sqrt(np.sum(one**2) * np.sum(other**2))
    if energy == 0:
        return None
    size = scipy.fft.next_fast_len(len(one) + len(other) + most, real=True)
    spectrum = np.asarray(scipy.fft.rfft(other, size)) * np.conj(np.asarray(scipy.fft.rfft(one, size)))
    correlation = np.asarray(scipy.fft.irfft(spectrum, size))
    lags = np.concatenate([correlation[-most:], correlation[: most + 1]]) / energy
    best = int(np.argmax(lags))
    return (best - most) / SAMPLE_RATE if lags[best] >= SAME_RECORDING else None


MARGIN_ROWS = 2
"""Rows beyond those that are missing by which a file may be off."""
FOLDS = 4
"""Parts of a clip; the opening of each is predicted from the others."""
RIDGE = 0.1
"""Penalty, as a share of the coefficients' mean variance."""
SURE_ROWS = 0.7
"""Least correlation of the measured and the predicted opening."""
LEAD_ROWS = 0.03
"""Least distance of the best offset's correlation from that of any other."""
LEAST_ROWS = 40
"""Fewer frames say nothing about 64 coefficients."""


def mouth_opening(landmarks: Float[np.ndarray, "t 68 2"]) -> Float[np.ndarray, " t"]:
    """Distance of the inner lips in units of the distance of the outer eye corners."""
    lips = np.linalg.norm(landmarks[:, 66] - landmarks[:, 62], axis=-1)
    return lips / np.linalg.norm(landmarks[:, 36] - landmarks[:, 45], axis=-1)


def measure_offset(
    opening: Float[np.ndarray, " t"], expression: Float[np.ndarray, "r d"], rows: Sequence[int], missing: int
) -> int | None:
    """Rows by which a coefficient file begins late: frame i shows row `rows[i] - offset`; None where no offset is sure.

    At each offset, from all `missing` rows lacking at the end to all lacking at the beginning and a little beyond, the
    mouth opening of each part of the clip is predicted from the expression coefficients by ridge regression on the
    other parts; at the right one the prediction agrees with what the landmarks show. No face model is needed.
    """
    places = np.asarray(rows)
    offsets = range(min(missing, 0) - MARGIN_ROWS, max(missing, 0) + MARGIN_ROWS + 1)
    common = (places - offsets[0] < len(expression)) & (places - offsets[-1] >= 0)
    if common.sum() < LEAST_ROWS or opening[common].std() == 0:
        return None
    scores = [agreement(expression[places[common] - offset], opening[common]) for offset in offsets]
    *_, second, best = sorted(scores)
    return offsets[int(np.argmax(scores))] if best >= SURE_ROWS and best - second >= LEAD_ROWS else None


def agreement(values: Float[np.ndarray, "t d"], opening: Float[np.ndarray, " t"]) -> float:
    """Correlation of the mouth's opening with its prediction from `values`, each part about its own mean.

    Each quarter is predicted by ridge regression on the others.
    """
    predicted, shown = np.zeros(len(opening)), np.zeros(len(opening))
    for part in np.array_split(np.arange(len(opening)), FOLDS):
        others = np.setdiff1d(np.arange(len(opening)), part)
        given, middle = values[others].astype(np.float64), values[others].mean(0, dtype=np.float64)
        centred = given - middle
        penalty = RIDGE * np.trace(centred.T @ centred) / centred.shape[1] + 1e-12
        weights = np.linalg.solve(
            centred.T @ centred + penalty * np.eye(centred.shape[1]),
            centred.T @ (opening[others] - opening[others].mean()),
        )
        guess = (values[part] - middle) @ weights
        predicted[part], shown[part] = guess - guess.mean(), opening[part] - opening[part].mean()
    scale = np.sqrt(np.sum(predicted**2) * np.sum(shown**2))
    return float(predicted @ shown / scale) if scale > 0 else 0.0


MOST_LAG = 12
"""Greatest lag that is looked for, in frames."""
LEAST_FRAMES = 100
"""Fewer frames beyond the lags at either end decide nothing."""
SURE_LAG = 0.4
"""Least correlation of the mouth's opening with its prediction from the audio."""
LEAD_LAG = 0.25
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
    inner = np.arange(MOST_LAG, len(opening) - MOST_LAG)
    if len(inner) < LEAST_FRAMES - 2 * MOST_LAG or opening[inner].std() == 0:
        return None
    views = _views(mel)
    lags = np.arange(-MOST_LAG, MOST_LAG + 1)
    scores = np.array([np.mean([agreement(view[inner + lag], opening[inner]) for view in views]) for lag in lags])
    best = int(scores.argmax())
    far = scores[np.abs(lags - lags[best]) > NEAR]
    return Lag(int(lags[best]), bool(scores[best] >= SURE_LAG and scores[best] - far.max() >= LEAD_LAG))


def _views(mel: np.ndarray) -> list[np.ndarray]:
    """Loudness, bands, and bands of three frames, each dimension at unit deviation."""
    columns = mel.astype(np.float64).mean(axis=1)
    bands = columns.reshape(len(columns), BANDS, -1).mean(axis=2)
    padded = np.pad(bands, ((1, 1), (0, 0)), "edge")
    views = [columns[:, 2:60].mean(axis=1, keepdims=True), bands, np.hstack([padded[:-2], bands, padded[2:]])]
    return [view / (view.std(axis=0) + 1e-9) for view in views]
