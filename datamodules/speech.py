"""Speech of any length in bounded memory: sound and MFCC windows, piece by piece."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from conventions.rates import SAMPLES_PER_FRAME
from datamodules.audio import iterate_audio, mfcc_windows

MARGIN = 4
"""Video frames of sound on either side that decide a frame's MFCC windows (12 steps of 10 ms, and the 25 ms window)."""


class SpeechPiece(NamedTuple):
    """Some consecutive video frames of a speech: their MFCC windows and their sound in [-1, 1], 16 kHz."""

    mfcc: Float[np.ndarray, "t 28 13"]
    waveform: Float[np.ndarray, " n"]
    """640 samples a frame."""


def speech_frames(path: Path) -> int:
    """Whole video frames that a sound file lasts; it is decoded to its end, so that what is wrong with it is known."""
    return sum(len(piece) for piece in iterate_audio(path)) // SAMPLES_PER_FRAME


def speech_pieces(path: Path, frames: int) -> Iterator[SpeechPiece]:
    """A sound file in pieces of `frames` video frames (the last may be shorter).

    Joined they are `mfcc_windows(read_audio(path), speech_frames(path))` and the sound of those frames.
    """
    yield from pieces_of(iterate_audio(path), frames)


def pieces_of(sound: Iterable[Float[np.ndarray, " _"]], frames: int) -> Iterator[SpeechPiece]:
    """Sound that arrives in chunks of any length (16 kHz mono), in pieces of `frames` video frames."""
    heard = np.zeros(0, np.float32)
    before = 0
    for samples in sound:
        heard = np.concatenate([heard, samples])
        while len(heard) >= (before + frames + MARGIN) * SAMPLES_PER_FRAME:
            yield _piece(heard, before, frames)
            past = max(before + frames - MARGIN, 0)
            heard, before = heard[past * SAMPLES_PER_FRAME :], before + frames - past
    left = len(heard) // SAMPLES_PER_FRAME - before
    while left > 0:
        yield _piece(heard, before, min(frames, left))
        before, left = before + frames, left - frames


def _piece(heard: np.ndarray, before: int, frames: int) -> SpeechPiece:
    """Frames `before` .. `before + frames` of the sound in hand."""
    known = heard[: (before + frames + MARGIN) * SAMPLES_PER_FRAME]
    sound = heard[before * SAMPLES_PER_FRAME : (before + frames) * SAMPLES_PER_FRAME]
    return SpeechPiece(mfcc_windows(known, before + frames)[before:], sound)
