"""How an emotion looks: action units, timing, head and gaze of the basic eight, 15 compound and 8 new styles.

Which units belong to an emotion is published (each pattern names its source); their strengths in 0..1, the timing and
the size of head movements are our choice. Where a source marks units as optional, the frequent ones are in at half
strength. Strengths are those of level 3; `prosody.LEVEL_STRENGTH` scales them for levels 1 and 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from conventions.emotions import EMOTIONS, StyleKind
from toyworld.prosody import PROSODY

EMFACS = "Friesen & Ekman 1983, EMFACS-7; Ekman, Friesen & Hager 2002, FACS Investigator's Guide"
COMPOUND = "Du, Tao & Martinez 2014, PNAS 111(15) E1454, table 1"
KELTNER = "Keltner, Sauter, Tracy & Cowen 2019, J. Nonverbal Behavior 43, table 1"
PAIN = "Prkachin & Solomon 2008, Pain 139: the four core actions of pain"
CONFUSION = "Rozin & Cohen 2003, Emotion 3; Craig, D'Mello, Witherspoon & Graesser 2008, Cognition & Emotion 22"
EMBARRASSMENT = "Keltner 1995, J. Personality and Social Psychology 68"
PRIDE = "Tracy & Robins 2004, Psychological Science 15"


@dataclass(frozen=True)
class Timing:
    """Course over the utterance, in s: begin against the first sound, rise time, and decay to `sustain` of the apex.

    `emphasis` is how much each stressed syllable adds, as a share of the apex; `tremble` adds a 6 Hz shiver.
    """

    begin: float = 0.0
    rise: float = 0.35
    sustain: float = 0.75
    decay: float = 0.8
    emphasis: float = 0.3
    tremble: float = 0.0


@dataclass(frozen=True)
class EmotionPattern:
    """One emotion at full strength. `units`: action unit (`L`/`R` = one side) -> strength."""

    units: Mapping[str, float]
    source: str
    kind: StyleKind = "basic"
    parts: tuple[str, ...] = ()
    timing: Timing = Timing()


TIMINGS: Mapping[str, Timing] = {
    "angry": Timing(-0.05, 0.18, 0.85, 0.6, 0.4),
    "contempt": Timing(0.15, 0.5, 0.9, 1.0, 0.15),
    "disgusted": Timing(0.05, 0.35, 0.6, 0.5, 0.25),
    "fear": Timing(-0.1, 0.14, 0.85, 0.9, 0.2, tremble=0.08),
    "happy": Timing(-0.05, 0.45, 0.8, 1.0, 0.3),
    "neutral": Timing(0.0, 0.3, 1.0, 1.0, 0.0),
    "sad": Timing(0.0, 0.9, 1.0, 1.0, 0.1),
    "surprised": Timing(-0.15, 0.12, 0.35, 0.4, 0.45),
}

_BASIC_UNITS: Mapping[str, Mapping[str, float]] = {
    "angry": {"4": 1.0, "5": 0.6, "7": 0.7, "23": 0.8, "17": 0.3},
    "contempt": {"12R": 0.7, "14R": 1.0, "10R": 0.25},
    "disgusted": {"9": 1.0, "10": 0.8, "15": 0.5, "16": 0.4, "17": 0.3},
    "fear": {"1": 1.0, "2": 0.7, "4": 0.7, "5": 0.9, "7": 0.4, "20": 0.9, "26": 0.5},
    "happy": {"6": 0.9, "12": 1.0, "25": 0.4},
    "neutral": {},
    "sad": {"1": 1.0, "4": 0.6, "15": 1.0, "17": 0.5, "11": 0.3},
    "surprised": {"1": 1.0, "2": 1.0, "5": 0.9, "26": 1.0, "25": 0.4},
}


def _compound(units: Mapping[str, float], *parts: str) -> EmotionPattern:
    timings = [TIMINGS[part] for part in parts]
    means = {
        field: sum(getattr(timing, field) for timing in timings) / len(timings)
        for field in ("begin", "rise", "sustain", "decay", "emphasis", "tremble")
    }
    return EmotionPattern(units, COMPOUND, "compound", parts, Timing(**means))


def _new(units: Mapping[str, float], source: str, timing: Timing = Timing()) -> EmotionPattern:
    return EmotionPattern(units, source, "new", (), timing)


_COMPOUNDS: Mapping[str, EmotionPattern] = {
    "happily_surprised": _compound(
        {"1": 1.0, "2": 1.0, "12": 1.0, "25": 0.7, "5": 0.5, "26": 0.5}, "happy", "surprised"
    ),
    "happily_disgusted": _compound({"10": 1.0, "12": 1.0, "25": 0.6, "6": 0.5, "9": 0.5}, "happy", "disgusted"),
    "sadly_fearful": _compound({"1": 1.0, "4": 0.9, "20": 0.8, "25": 0.6, "2": 0.4, "15": 0.4}, "sad", "fear"),
    "sadly_angry": _compound({"4": 1.0, "15": 1.0, "7": 0.5, "17": 0.5, "6": 0.2}, "sad", "angry"),
    "sadly_surprised": _compound({"1": 1.0, "4": 0.7, "25": 0.7, "26": 0.8}, "sad", "surprised"),
    "sadly_disgusted": _compound({"4": 0.9, "10": 0.9, "1": 0.5, "6": 0.4, "15": 0.5, "17": 0.4}, "sad", "disgusted"),
    "fearfully_angry": _compound({"4": 1.0, "20": 0.9, "25": 0.6, "5": 0.5, "7": 0.4}, "fear", "angry"),
    "fearfully_surprised": _compound(
        {"1": 1.0, "2": 1.0, "5": 1.0, "20": 0.8, "25": 0.6, "4": 0.4, "26": 0.5}, "fear", "surprised"
    ),
    "fearfully_disgusted": _compound(
        {"1": 0.9, "4": 0.8, "10": 0.9, "20": 0.8, "25": 0.6, "2": 0.5, "5": 0.4}, "fear", "disgusted"
    ),
    "angrily_surprised": _compound({"4": 1.0, "25": 0.7, "26": 0.9, "7": 0.5, "5": 0.3}, "angry", "surprised"),
    "angrily_disgusted": _compound({"4": 1.0, "10": 0.9, "17": 0.7, "7": 0.5, "9": 0.5}, "angry", "disgusted"),
    "disgustedly_surprised": _compound(
        {"1": 0.9, "2": 0.9, "5": 0.8, "10": 1.0, "17": 0.4, "4": 0.3, "9": 0.3}, "disgusted", "surprised"
    ),
    "appalled": _compound({"4": 0.9, "10": 1.0, "9": 0.6, "17": 0.6, "24": 0.4}, "disgusted", "angry"),
    "hateful": _compound({"4": 1.0, "10": 0.7, "7": 0.7, "17": 0.6, "24": 0.5}, "angry", "disgusted"),
    "awed": _compound({"1": 0.9, "2": 0.9, "5": 0.8, "25": 0.8, "26": 0.5, "20": 0.3}, "fear", "surprised"),
}

_NEWS: Mapping[str, EmotionPattern] = {
    "pained": _new(
        {"4": 1.0, "6": 0.8, "7": 0.8, "9": 0.6, "10": 0.6, "43": 0.55, "20": 0.3},
        PAIN,
        Timing(0.0, 0.2, 0.7, 0.7, 0.4),
    ),
    "interested": _new({"1": 0.7, "2": 0.8, "12": 0.45, "57": 0.6}, KELTNER, Timing(0.0, 0.4, 0.9, 1.0, 0.35)),
    "bored": _new({"43": 0.45, "55": 0.8, "64": 0.3}, KELTNER, Timing(0.0, 0.8, 1.0, 1.0, 0.05)),
    "confused": _new({"4": 0.9, "7": 0.7, "56": 0.8, "1": 0.2}, CONFUSION, Timing(0.1, 0.4, 0.9, 1.0, 0.25)),
    "embarrassed": _new(
        {"7": 0.4, "12": 0.6, "15": 0.4, "24": 0.5, "52": 0.7, "54": 0.9, "64": 0.9},
        EMBARRASSMENT,
        Timing(0.1, 0.6, 0.9, 1.0, 0.15),
    ),
    "proud": _new({"12": 0.45, "53": 0.9, "64": 0.25, "17": 0.25}, PRIDE, Timing(0.0, 0.5, 1.0, 1.0, 0.25)),
    "content": _new({"12": 0.6, "43": 0.4, "6": 0.3}, KELTNER, Timing(0.0, 0.7, 1.0, 1.0, 0.1)),
    "sympathetic": _new(
        {"1": 0.9, "17": 0.4, "24": 0.3, "57": 0.6, "55": 0.4}, KELTNER, Timing(0.0, 0.7, 0.95, 1.0, 0.2)
    ),
}

PATTERNS: Mapping[str, EmotionPattern] = {
    **{name: EmotionPattern(_BASIC_UNITS[name], EMFACS, timing=TIMINGS[name]) for name in EMOTIONS},
    **_COMPOUNDS,
    **_NEWS,
}
"""Every style's pattern by folder name: MEAD's eight, then compound, then new."""

UNSEEN_STYLES = (*_COMPOUNDS, *_NEWS)
UNSEEN_LEVEL = 2
"""Compound and new styles exist at this level only."""


def voice_parts(emotion: str) -> tuple[str, ...]:
    """The entries of `prosody.PROSODY` that an emotion's voice is made of."""
    return (emotion,) if emotion in PROSODY else PATTERNS[emotion].parts


def styles_json() -> dict[str, dict]:
    """What `styles.json` at the root of a toy world states about the styles that MEAD does not have."""
    return {
        name: {"kind": PATTERNS[name].kind, "parts": list(PATTERNS[name].parts), "source": PATTERNS[name].source}
        for name in UNSEEN_STYLES
    }
