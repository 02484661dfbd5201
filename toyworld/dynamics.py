"""What moves in time: the course of an emotion over an utterance (onset, apex, decay, emphasis on stressed syllables,
offset), and beside the face's muscles head rotation, sway, gaze and blinks.

At any moment the strength of an emotion depends on how long ago it began, on which stress is the last of the sentence
(the nuclear one, twice as strong) and on when the speech ends: more than a window around that moment can show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from conventions.rates import VIDEO_FPS
from toyworld import rng_of
from toyworld.emotions import Timing
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


HEAD_ANGLES: Mapping[str, tuple[float, float, float]] = {
    "51": (0.0, 0.14, 0.0),
    "52": (0.0, -0.14, 0.0),
    "53": (-0.14, 0.0, 0.0),
    "54": (0.14, 0.0, 0.0),
    "55": (0.0, 0.0, -0.12),
    "56": (0.0, 0.0, 0.12),
}
"""Head units at full strength as rotations (x, y, z) in rad: turn left/right, up/down, tilt left/right."""

FORWARD_SCALE = 0.06
"""Unit 57, head forward: the face grows by this share."""

BLINK = (0.35, 1.0, 0.8, 0.4, 0.15)
"""Lid closure over the five frames of a blink."""


def drift(num_frames: int, rng: np.random.Generator, period: float) -> Float64[np.ndarray, " t"]:
    """A slow wander with a standard deviation of about 1: three sines with periods about `period` s."""
    time = frame_times(num_frames)[:, None]
    periods = period * rng.uniform(0.6, 1.8, 3)
    phases = rng.uniform(0, 2 * np.pi, 3)
    return np.sin(2 * np.pi * time / periods + phases).sum(1) * (2 / 3) ** 0.5


def head_angles(
    units: Mapping[str, float],
    course: np.ndarray,
    phonemes: Sequence[Phoneme],
    manner: Manner,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "t 3"]:
    """Rotations in rad: a pose of the clip, a wander, a nod on each stress, and the emotion's head units."""
    num_frames = len(course)
    pose = rng.normal(0, [0.03, 0.06, 0.02])
    wander = np.stack([drift(num_frames, rng, period) for period in (1.6, 2.2, 2.4)], axis=1)
    angles = pose + wander * manner.head * np.array([0.018, 0.028, 0.014])
    angles[:, 0] += 0.045 * manner.head * accent(frame_times(num_frames), phonemes, 0.06)
    for unit, strength in units.items():
        angles += course[:, None] * strength * np.array(HEAD_ANGLES.get(unit, (0.0, 0.0, 0.0)))
    return angles


def placement_track(
    units: Mapping[str, float], course: np.ndarray, base: np.ndarray, rng: np.random.Generator
) -> Float64[np.ndarray, "t 3"]:
    """(scale, x, y) in each frame: the clip's framing `base` [3], a sway, and the head forward unit."""
    sway = np.stack([drift(len(course), rng, period) for period in (2.6, 2.2, 1.8)], axis=1)
    track = base + sway * np.array([0.004, 0.008, 0.006])
    track[:, 0] *= 1 + FORWARD_SCALE * units.get("57", 0.0) * course
    return track


def blinks(num_frames: int, phonemes: Sequence[Phoneme], manner: Manner, rng: np.random.Generator) -> np.ndarray:
    """Lid closure [t] in 0..1: blinks at the actor's rate, and with odds of 0.4 one as the sentence ends."""
    starts = np.flatnonzero(rng.random(num_frames) < manner.blinks_per_minute / 60 / VIDEO_FPS).tolist()
    if rng.random() < 0.4:
        starts.append(int(phonemes[-1].end * VIDEO_FPS))
    closure = np.zeros(num_frames)
    for start in starts:
        for index, value in enumerate(BLINK):
            if start + index < num_frames:
                closure[start + index] = max(closure[start + index], value)
    return closure


def lid_tone(num_frames: int, rng: np.random.Generator) -> Float64[np.ndarray, " t"]:
    """Lid closure of eyes that are open, about 0.02..0.25: how wide differs between clips and wanders within them."""
    return np.clip(rng.normal(0.12, 0.05) + 0.03 * drift(num_frames, rng, 3.0), 0, 0.3)


def gaze(num_frames: int, rng: np.random.Generator) -> Float64[np.ndarray, "t 2"]:
    """(right, down) in -1..1: fixations with jumps every 0.5 s or so."""
    jumps = rng.random(num_frames) < 0.08
    points = rng.normal(0, 0.08, (num_frames + 1, 2))
    return points[np.cumsum(jumps)]
