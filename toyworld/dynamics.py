"""The course of an emotion over an utterance: onset, apex, decay, emphasis on stressed syllables, offset.

At any moment the strength depends on how long ago the emotion began, on which stress is the sentence's last (the
nuclear one, twice as strong) and on when the speech ends: more than a window around that moment can show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from conventions.rates import VIDEO_FPS
from toyworld.emotions import Timing
from toyworld.seeds import rng_of
from toyworld.speech import Phoneme
from toyworld.visemes import is_vowel

BASELINE = 0.3
"""Share of the apex that is there before the emotion begins to rise: actors start in their mood."""

OFFSET_SHARE = 0.55
"""What is left of the emotion at the end of the offset, 0.5 s after the last sound."""


@dataclass(frozen=True)
class Manner:
    """An actor's own way of moving: factors about 1, an asymmetry about 0 (left minus right) and a lag in s."""

    upper: float
    lower: float
    asymmetry: float
    emphasis: float
    lag: float
    articulation: float
    head: float
    blinks_per_minute: float


def manner_of(actor: str, seed: int) -> Manner:
    """The manner of an actor, from its name and the world's seed."""
    values = rng_of(seed, "manner", actor).normal(
        [1, 1, 0, 1, 0.1, 1, 1, 20], [0.12, 0.12, 0.1, 0.25, 0.03, 0.1, 0.3, 6]
    )
    upper, lower, asymmetry, emphasis, lag, articulation, head, blinks = values.tolist()
    return Manner(upper, lower, asymmetry, max(emphasis, 0.3), max(lag, 0.02), articulation, max(head, 0.3), blinks)


def frame_times(num_frames: int) -> Float64[np.ndarray, " t"]:
    """The middle of each video frame, in s."""
    return (np.arange(num_frames) + 0.5) / VIDEO_FPS


def smooth_step(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, 3x^2 - 2x^3 between."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def stresses(phonemes: Sequence[Phoneme]) -> list[tuple[float, float]]:
    """(time of the vowel's middle, weight) of each primary stress; the last one weighs 1, the others 0.5."""
    times = [(p.start + p.end) / 2 for p in phonemes if p.stress == 2 and is_vowel(p.symbol)]
    return [(time, 1.0 if index == len(times) - 1 else 0.5) for index, time in enumerate(times)]


def accent(time: np.ndarray, phonemes: Sequence[Phoneme], lag: float) -> Float64[np.ndarray, " t"]:
    """0..1: bumps that follow each stress by `lag` s, rising in 0.1 s and falling in 0.25 s."""
    total = np.zeros_like(time)
    for moment, weight in stresses(phonemes):
        after = time - moment - lag
        total = np.maximum(total, weight * np.exp(-((after / np.where(after < 0, 0.1, 0.25)) ** 2)))
    return total


def course(timing: Timing, phonemes: Sequence[Phoneme], num_frames: int) -> Float64[np.ndarray, " t"]:
    """Strength of an emotion in each frame without emphasis; 1 at the apex."""
    time = frame_times(num_frames)
    begin, end = phonemes[0].start + timing.begin, phonemes[-1].end
    rise = smooth_step((time - begin) / timing.rise)
    since_apex = np.maximum(time - begin - timing.rise, 0)
    held = timing.sustain + (1 - timing.sustain) * np.exp(-since_apex / timing.decay)
    offset = 1 - (1 - OFFSET_SHARE) * smooth_step((time - end) / 0.5)
    return (BASELINE + (1 - BASELINE) * rise) * held * offset
