"""How far a clip's audio begins from its video: measured, recorded, and taken out before both are trimmed."""

from pathlib import Path

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
    agreement = np.asarray(scipy.fft.irfft(spectrum, size))
    lags = np.concatenate([agreement[-most:], agreement[: most + 1]]) / energy
    best = int(np.argmax(lags))
    return (best - most) / SAMPLE_RATE if lags[best] >= SAME_RECORDING else None
