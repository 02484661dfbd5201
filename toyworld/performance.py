"""One performance: an actor says a sentence with an emotion. Speech, face and head become 257 numbers a frame."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from face3d.coefficients import ANGLE, EXPRESSION, TRANSLATION
from toyworld import rng_of
from toyworld.action_units import axes, units_vector
from toyworld.dynamics import (
    Manner,
    accent,
    blinks,
    course,
    frame_times,
    gaze,
    head_angles,
    lid_tone,
    manner_of,
    placement_track,
)
from toyworld.emotions import PATTERNS, EmotionPattern, voice_parts
from toyworld.face.head import EXPRESSION_NAMES
from toyworld.prosody import LEVEL_STRENGTH, prosody
from toyworld.speech import Phoneme, Utterance, speak, voice_of
from toyworld.visemes import CHANNELS, mouth

BROW_FLASH = 0.3
"""How far the brows rise on the sentence's nuclear stress."""

_OPENING = ("jaw_open", "lips_part", "upper_lip_raiser", "lower_lip_depressor", "lip_funneler")
_PRESSING = ("lip_pressor", "lip_tightener", "lip_suck")
_SPREADING = ("lip_corner_puller", "lip_stretcher", "dimpler")
MOUTH_SCALE: Mapping[str, float] = {"jaw_open": 1.1, "lips_part": 0.85}
"""How far speech opens the mouth on the head's axes; other channels stay as they are."""


@dataclass(frozen=True)
class Performance:
    """A finished clip before rendering: sound, coefficients [t, 257] and placement [t, 3] in the video's image."""

    utterance: Utterance
    coefficients: Float32[np.ndarray, "t 257"]
    placement: Float32[np.ndarray, "t 3"]


def emotion_track(
    pattern: EmotionPattern, strength: float, phonemes: tuple[Phoneme, ...], num_frames: int, manner: Manner
) -> Float64[np.ndarray, "t 64"]:
    """Expression coefficients of the emotion alone: upper and lower face in their own time, one side stronger."""
    time = frame_times(num_frames)
    base = course(pattern.timing, phonemes, num_frames)
    push = pattern.timing.emphasis * manner.emphasis * accent(time, phonemes, manner.lag)
    shiver = pattern.timing.tremble * np.sin(2 * np.pi * 6 * time)
    upper = np.outer(base + push + shiver, manner.upper * units_vector(pattern.units, upper=True))
    lower = np.outer(base + 0.4 * push, manner.lower * units_vector(pattern.units, upper=False))
    sides = np.array([name.endswith("_left") - float(name.endswith("_right")) for name in EXPRESSION_NAMES])
    return strength * (upper + lower) * (1 + manner.asymmetry * sides)


def brow_flashes(phonemes: tuple[Phoneme, ...], num_frames: int, manner: Manner) -> Float64[np.ndarray, " t"]:
    """Brows that rise on stressed syllables whatever the emotion (Cave et al. 1996, ICSLP: brows follow F0's peaks)."""
    return BROW_FLASH * manner.emphasis * accent(frame_times(num_frames), phonemes, 0.0)


def _scale(track: np.ndarray, names: tuple[str, ...], factor: np.ndarray) -> None:
    for name in names:
        track[:, axes(name)] *= factor[:, None]


def add_speech(emotion: Float64[np.ndarray, "t 64"], channels: Mapping[str, np.ndarray]) -> Float64[np.ndarray, "t 64"]:
    """Emotion and speech on one mouth: shut lips stay shut, pressed lips open, round lips spread less."""
    track = emotion.copy()
    jaw, rounding = channels["jaw_open"], np.clip(channels["lip_pucker"] + channels["lip_funneler"], 0, 1)
    _scale(track, _OPENING, 1 - 0.95 * np.clip(channels["closure"] * 1.1, 0, 1))
    _scale(track, _PRESSING, 1 - 0.85 * np.clip(channels["lips_part"] * 1.5, 0, 1))
    _scale(track, _SPREADING, 1 - 0.35 * rounding)
    _scale(track, ("jaw_open",), 1 - 0.4 * np.clip(jaw, 0, 1))
    for name in CHANNELS:
        track[:, axes(name)] += (MOUTH_SCALE.get(name, 1.0) * channels[name])[:, None]
    return track


def _add_eyes(track: np.ndarray, tone: np.ndarray, lids: np.ndarray, looks: np.ndarray) -> None:
    """Blinks close the lids from wherever their tone and the emotion hold them; gaze is added to the emotion's."""
    closed = axes("eye_closure")
    track[:, closed] = np.maximum(np.clip(track[:, closed] + tone[:, None], 0, 1), lids[:, None])
    _scale(track, ("upper_lid_raiser",), 1 - lids)
    for name, values in (
        ("gaze_right", looks[:, 0]),
        ("gaze_left", -looks[:, 0]),
        ("gaze_down", looks[:, 1]),
        ("gaze_up", -looks[:, 1]),
    ):
        track[:, axes(name)] += np.maximum(values, 0)[:, None]


def _residuals(track: np.ndarray, actor: str, seed: int) -> None:
    """The twelve residual axes: how this actor's skin answers to what its muscles do."""
    first = EXPRESSION_NAMES.index("residual_0")
    rng = rng_of(seed, "residual", actor)
    mixing = rng.normal(0, 0.12, (first, len(EXPRESSION_NAMES) - first))
    track[:, first:] = np.clip(track[:, :first] @ mixing, -0.6, 0.6) + rng.normal(0, 0.1, mixing.shape[1])


def framing(actor: str, seed: int, rng: np.random.Generator) -> Float64[np.ndarray, "3"]:
    """(scale, x, y) of a clip: the actor's distance from the camera, and where the head is in this clip."""
    scale = rng_of(seed, "framing", actor).normal(0.70, 0.02)
    return np.array([scale * rng.normal(1, 0.01), rng.normal(0, 0.025), rng.normal(0.02, 0.02)])


def perform(
    actor: str,
    neutral: Float32[np.ndarray, "257"],
    text: str,
    emotion: str,
    level: int,
    seed: int,
    number: int = 1,
) -> Performance:
    """The clip `number` of an actor (whose face at rest is `neutral`) with that emotion and level."""
    rng = rng_of(seed, "clip", actor, emotion, level, number)
    manner, pattern, strength = manner_of(actor, seed), PATTERNS[emotion], LEVEL_STRENGTH[level]
    change = prosody(voice_parts(emotion), level)
    utterance = speak(text, voice_of(actor, seed), change, rng)
    frames, phonemes = utterance.num_frames, utterance.phonemes
    track = emotion_track(pattern, strength, phonemes, frames, manner)
    track = add_speech(track, mouth(phonemes, frames, change.articulation * manner.articulation))
    track[:, axes("inner_brow_raiser") + axes("outer_brow_raiser")] += brow_flashes(phonemes, frames, manner)[:, None]
    _add_eyes(track, lid_tone(frames, rng), blinks(frames, phonemes, manner, rng), gaze(frames, rng))
    track = np.clip(track, 0, 1.25)
    _residuals(track, actor, seed)
    strengths = strength * course(pattern.timing, phonemes, frames)
    coefficients = np.tile(neutral.astype(np.float64), (frames, 1))
    coefficients[:, EXPRESSION] = track
    coefficients[:, ANGLE] += head_angles(pattern.units, strengths, phonemes, manner, rng)
    coefficients[:, TRANSLATION] += rng.normal(0, [0.01, 0.01, 0.03])
    placement = placement_track(pattern.units, strengths, framing(actor, seed, rng), rng)
    return Performance(utterance, coefficients.astype(np.float32), placement.astype(np.float32))
