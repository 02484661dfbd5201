"""Speech of any length in bounded memory: audio, MFCC windows and a speech feature, piece by piece."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from conventions.rates import SAMPLES_PER_FRAME
from datamodules.audio import iterate_audio, mfcc_windows
from datamodules.speech_features import MFCC, SpeechFeature

MARGIN = MFCC.look_ahead
"""Video frames of audio on either side that decide a frame's MFCC windows."""


class SpeechPiece(NamedTuple):
    """Some consecutive video frames of a speech."""

    mfcc: Float[np.ndarray, "t 28 13"]
    """MFCC windows, from which the loudness is read."""
    waveform: Float[np.ndarray, " n"]
    """Audio in [-1, 1], 16 kHz, 640 samples a frame."""
    speech: Float[np.ndarray, "t *shape"]
    """The feature that EAC receives; by default the MFCC windows."""


def speech_frames(path: Path) -> int:
    """Whole video frames that an audio file lasts; it is decoded to its end, so that damage is found."""
    return sum(len(piece) for piece in iterate_audio(path)) // SAMPLES_PER_FRAME


def speech_pieces(path: Path, frames: int, feature: SpeechFeature | None = None) -> Iterator[SpeechPiece]:
    """An audio file in pieces of `frames` video frames (the last may be shorter).

    Joined they are `mfcc_windows(read_audio(path), speech_frames(path))`, the same of the feature, and the audio of
    those frames.
    """
    yield from pieces_of(iterate_audio(path), frames, feature)


def pieces_of(
    sound: Iterable[Float[np.ndarray, " _"]], frames: int, feature: SpeechFeature | None = None
) -> Iterator[SpeechPiece]:
    """Audio that arrives in chunks of any length (16 kHz mono), in pieces of `frames` video frames.

    A frame comes when the larger of `MARGIN` and `feature.look_ahead` frames of audio beyond it have arrived. Memory is
    bounded where the feature states its `look_behind`.
    """
    feature = feature or MFCC()
    size = -(-frames // feature.block) * feature.block
    computed = _groups(sound, size, feature)
    yield from computed if size == frames else _resplit(computed, frames)


def _groups(sound: Iterable[np.ndarray], frames: int, feature: SpeechFeature) -> Iterator[SpeechPiece]:
    """Pieces of `frames` frames, a multiple of the feature's block."""
    ahead = max(feature.look_ahead + 1 - feature.block, MARGIN)
    received = np.zeros(0, np.float32)
    before = 0
    for samples in sound:
        received = np.concatenate([received, samples])
        while len(received) >= (before + frames + ahead) * SAMPLES_PER_FRAME:
            yield _piece(received, before, frames, ahead, feature)
            past = _forgotten(before + frames, feature)
            received, before = received[past * SAMPLES_PER_FRAME :], before + frames - past
    left = len(received) // SAMPLES_PER_FRAME - before
    while left > 0:
        yield _piece(received, before, min(frames, left), ahead, feature)
        before, left = before + frames, left - frames


def _forgotten(before: int, feature: SpeechFeature) -> int:
    """Frames at the beginning of the audio in hand that no frame from `before` on needs."""
    if feature.look_behind is None:
        return 0
    past = max(before - max(feature.look_behind, MARGIN), 0)
    return past - past % feature.block


def _piece(received: np.ndarray, before: int, frames: int, ahead: int, feature: SpeechFeature) -> SpeechPiece:
    """Frames `before` .. `before + frames` of the audio in hand."""
    known = received[: (before + frames + ahead) * SAMPLES_PER_FRAME]
    sound = received[before * SAMPLES_PER_FRAME : (before + frames) * SAMPLES_PER_FRAME]
    margin = min(before, MARGIN)
    mfcc = mfcc_windows(known[(before - margin) * SAMPLES_PER_FRAME :], margin + frames)[margin:]
    if isinstance(feature, MFCC):
        return SpeechPiece(mfcc, sound, mfcc)
    return SpeechPiece(mfcc, sound, feature.since(known, before + frames, before))


def _resplit(pieces: Iterable[SpeechPiece], frames: int) -> Iterator[SpeechPiece]:
    """The same frames in pieces of `frames`."""
    waiting: SpeechPiece | None = None
    for piece in pieces:
        waiting = piece if waiting is None else SpeechPiece(*map(np.concatenate, zip(waiting, piece, strict=True)))
        while len(waiting.mfcc) >= frames:
            first, waiting = _split(waiting, frames)
            yield first
    if waiting is not None and len(waiting.mfcc):
        yield waiting


def _split(piece: SpeechPiece, frames: int) -> tuple[SpeechPiece, SpeechPiece]:
    samples = frames * SAMPLES_PER_FRAME
    return (
        SpeechPiece(piece.mfcc[:frames], piece.waveform[:samples], piece.speech[:frames]),
        SpeechPiece(piece.mfcc[frames:], piece.waveform[samples:], piece.speech[frames:]),
    )
