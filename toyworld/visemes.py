"""Mouth movements of speech: timed phonemes -> expression coefficients, with coarticulation.

Cohen & Massaro 1993 ("Modeling coarticulation in synthetic visual speech"): each phoneme has a target for every mouth
parameter and a dominance D(t) = a exp(-r |t - centre|), and the mouth is the dominance-weighted mean of the targets.
A sound that must be seen (lips shut for p, b, m; teeth on lip for f, v; rounding of w, u:) has a large `a` on those
parameters; a sound made inside the mouth (k, h, n) has a small one and takes its neighbours' shape.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from conventions.rates import VIDEO_FPS
from toyworld.speech import Phoneme

CHANNELS = (
    "jaw_open", "lips_part", "lip_funneler", "lip_pucker", "lip_stretcher", "lip_pressor", "lip_suck",
    "upper_lip_raiser", "lower_lip_depressor", "tongue_up",
)  # fmt: skip
"""The mouth parameters that speech drives; `_left` and `_right` axes move alike."""


@dataclass(frozen=True)
class Viseme:
    """Targets in 0..1 by channel (absent = 0), and how strongly each channel insists on its target (absent = 1)."""

    targets: Mapping[str, float]
    insists: Mapping[str, float]
    strength: float = 1.0


def _viseme(strength: float = 1.0, insists: Mapping[str, float] | None = None, **targets: float) -> Viseme:
    return Viseme(targets, insists or {}, strength)


_SHUT = {"jaw_open": 5.0, "lips_part": 12.0, "lip_pressor": 8.0, "upper_lip_raiser": 8.0, "lower_lip_depressor": 8.0}
_LIP = {"lip_suck": 8.0, "lips_part": 5.0, "jaw_open": 3.0, "upper_lip_raiser": 4.0}
_ROUND = {"lip_pucker": 5.0, "lip_funneler": 4.0, "lip_stretcher": 3.0}

VISEMES: Mapping[str, Viseme] = {
    "silence": _viseme(0.9, jaw_open=0.0, lips_part=0.0),
    "bilabial": _viseme(1.6, _SHUT, lip_pressor=0.35),
    "labiodental": _viseme(1.3, _LIP, lip_suck=0.55, lips_part=0.2, jaw_open=0.08, upper_lip_raiser=0.15),
    "dental": _viseme(0.8, jaw_open=0.15, lips_part=0.35, tongue_up=0.7, lip_stretcher=0.1),
    "alveolar": _viseme(0.6, jaw_open=0.12, lips_part=0.35, tongue_up=0.5, lip_stretcher=0.1),
    "sibilant": _viseme(0.8, {"jaw_open": 3.0}, jaw_open=0.06, lips_part=0.5, lip_stretcher=0.3),
    "postalveolar": _viseme(0.9, _ROUND, jaw_open=0.1, lips_part=0.45, lip_funneler=0.6),
    "velar": _viseme(0.35, jaw_open=0.2, lips_part=0.3),
    "glottal": _viseme(0.2, jaw_open=0.25, lips_part=0.35),
    "rhotic": _viseme(0.6, _ROUND, jaw_open=0.15, lips_part=0.3, lip_funneler=0.35, lip_pucker=0.15),
    "glide_w": _viseme(1.0, _ROUND, jaw_open=0.1, lips_part=0.15, lip_pucker=0.9, lip_funneler=0.2),
    "glide_y": _viseme(0.5, jaw_open=0.15, lips_part=0.4, lip_stretcher=0.4),
    "open": _viseme(1.2, jaw_open=0.8, lips_part=0.6, lower_lip_depressor=0.15),
    "front_open": _viseme(1.2, jaw_open=0.65, lips_part=0.65, lip_stretcher=0.35, upper_lip_raiser=0.1),
    "front_mid": _viseme(1.0, jaw_open=0.45, lips_part=0.6, lip_stretcher=0.4),
    "front_close": _viseme(1.0, jaw_open=0.22, lips_part=0.55, lip_stretcher=0.65, upper_lip_raiser=0.1),
    "central": _viseme(0.6, jaw_open=0.3, lips_part=0.45),
    "back_mid": _viseme(1.1, _ROUND, jaw_open=0.5, lips_part=0.5, lip_funneler=0.55, lip_pucker=0.2),
    "back_close": _viseme(1.1, _ROUND, jaw_open=0.18, lips_part=0.3, lip_pucker=0.8, lip_funneler=0.35),
}

_BY_SYMBOL: Mapping[str, str] = {
    **dict.fromkeys(["p", "b", "m"], "bilabial"),
    **dict.fromkeys(["f", "v"], "labiodental"),
    **dict.fromkeys(["T", "D"], "dental"),
    **dict.fromkeys(["t", "d", "n", "l", "t#", "@L"], "alveolar"),
    **dict.fromkeys(["s", "z"], "sibilant"),
    **dict.fromkeys(["S", "Z", "tS", "dZ"], "postalveolar"),
    **dict.fromkeys(["k", "g", "N", "x"], "velar"),
    **dict.fromkeys(["h", "?"], "glottal"),
    **dict.fromkeys(["r", "r-", "3", "3:"], "rhotic"),
    "w": "glide_w", "j": "glide_y", "_": "silence", ";": "silence",
    **dict.fromkeys(["A", "A:", "0", "A@", "V", "aI", "aU"], "open"),
    **dict.fromkeys(["a", "a#"], "front_open"),
    **dict.fromkeys(["E", "e@", "eI", "e"], "front_mid"),
    **dict.fromkeys(["i", "i:", "I", "I2", "I#", "i@", "i@3"], "front_close"),
    **dict.fromkeys(["@", "@2", "@5"], "central"),
    **dict.fromkeys(["O", "O:", "O2", "O@", "o@", "OI", "oU"], "back_mid"),
    **dict.fromkeys(["U", "u:", "u", "U@"], "back_close"),
}  # fmt: skip
_GLIDES: Mapping[str, str] = {
    "aI": "front_close", "eI": "front_close", "OI": "front_close", "aU": "back_close", "oU": "back_close",
}  # fmt: skip
"""Where a diphthong ends."""

_VOWELS = {"open", "front_open", "front_mid", "front_close", "central", "back_mid", "back_close"}


LEAD = 0.02
"""The mouth is ahead of its sound by this many s."""


def viseme_name(symbol: str) -> str:
    """The viseme class of an espeak mnemonic; one that is not listed goes by its first letter, else `central`."""
    return _BY_SYMBOL.get(symbol) or _BY_SYMBOL.get(symbol[:1], "central")


def is_vowel(symbol: str) -> bool:
    """Whether an espeak mnemonic is a vowel."""
    return viseme_name(symbol) in _VOWELS


@dataclass(frozen=True)
class _Segment:
    viseme: Viseme
    centre: float
    length: float
    gain: float


def _segments(phonemes: Sequence[Phoneme], articulation: float, duration: float) -> list[_Segment]:
    """One segment for each sound, two for a diphthong, and silence around the sentence."""
    first, last = phonemes[0].start, phonemes[-1].end
    found = [_Segment(VISEMES["silence"], first / 2 - 0.03, first, 1.0)]
    for phoneme in phonemes:
        length = phoneme.end - phoneme.start
        gain = articulation * (1.0, 1.1, 1.25)[phoneme.stress] * (0.75 if not phoneme.stress else 1.0)
        halves = [viseme_name(phoneme.symbol), _GLIDES.get(phoneme.symbol, "")]
        halves = [half for half in halves if half]
        for index, name in enumerate(halves):
            centre = phoneme.start + length * (0.45 if len(halves) == 1 else (0.3, 0.85)[index])
            found.append(_Segment(VISEMES[name], centre, length / len(halves), gain if name in _VOWELS else 1.0))
    return [*found, _Segment(VISEMES["silence"], (last + duration) / 2 + 0.05, duration - last, 1.0)]


def mouth(
    phonemes: Sequence[Phoneme], num_frames: int, articulation: float = 1.0, rate: float = float(VIDEO_FPS)
) -> dict[str, Float64[np.ndarray, " t"]]:
    """Each channel of `CHANNELS` in 0..1.2 at the middle of every frame, and `closure`: 0..1, lips held by speech."""
    time = (np.arange(num_frames) + 0.5) / rate + LEAD
    segments = _segments(phonemes, articulation, num_frames / rate)
    distance = np.stack([np.maximum(np.abs(time - s.centre) - 0.25 * s.length, 0) for s in segments])
    shape = np.stack(
        [s.viseme.strength * np.exp(-d / max(0.035, 0.3 * s.length)) for s, d in zip(segments, distance, strict=True)]
    )
    channels = {}
    for name in CHANNELS:
        weights = shape * np.array([[s.viseme.insists.get(name, 1.0)] for s in segments])
        targets = np.array([[s.viseme.targets.get(name, 0.0) * s.gain] for s in segments])
        channels[name] = (weights * targets).sum(0) / (weights.sum(0) + 1e-6)
    shut = np.array([[float(s.viseme in (VISEMES["bilabial"], VISEMES["labiodental"]))] for s in segments])
    held = shape * np.array([[s.viseme.insists.get("lips_part", 1.0)] for s in segments])
    channels["closure"] = (held * shut).sum(0) / (held.sum(0) + 1e-6)
    return channels
