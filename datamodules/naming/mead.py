"""MEAD: `M003/video/front/angry/level_1/001.mp4`, its copies with other folders, and the flat form.

Tokens are found by meaning and not by position: some actors have extra folders, `1` or `2` where `video` should
stand, emotion and level in one folder (`angry_level_1`), or three-letter codes; flat copies fold all into the file's
name (`M030_front_happy_level3_001.mp4`).
"""

import functools
import re
from collections.abc import Mapping

from conventions.emotions import EMOTION_CODES, EMOTIONS, NUM_LEVELS, StyleKind
from datamodules.naming.name import Name

VIEWS = ("front", "down", "top", "left_30", "left_60", "right_30", "right_60")

_ACTOR = re.compile(r"_([mw]\d{3})(?=_)")
_LEVEL = re.compile(r"_level_?(\d)(?=_)")
_VIEW = re.compile(r"_(?:(left|right)_?(30|60)|(front|down|top))(?=_)")
_NUMBER = re.compile(r"_(\d{1,4})_$")

_SPELLINGS = {
    **{name: name for name in EMOTIONS},
    **dict(zip(EMOTION_CODES, EMOTIONS, strict=True)),
    "disgust": "disgusted",
    "surprise": "surprised",
    "anger": "angry",
    "sadness": "sad",
    "happiness": "happy",
    "fearful": "fear",
}


@functools.lru_cache(maxsize=64)
def _emotion_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Longest name first: `happily_surprised` before `surprised`."""
    ordered = sorted({*names, *_SPELLINGS}, key=lambda name: (-len(name), name))
    return re.compile(rf"_({'|'.join(map(re.escape, ordered))})(?=_)")


def _flatten(path: str) -> str:
    return "_" + re.sub(r"[/\\\s.-]+", "_", path.lower()) + "_"


def claims(path: str, styles: Mapping[str, StyleKind]) -> bool:
    """Whether a path that cannot be read looks like MEAD's: it names two of actor, emotion and level.

    As an unlabelled clip it would be an actor of its own, on whatever side of a split.
    """
    text = _flatten(path)
    return sum(map(bool, (_ACTOR.search(text), _emotion_pattern(tuple(styles)).search(text), _LEVEL.search(text)))) > 1


def spelling(emotion: str) -> str | None:
    """MEAD's name of an emotion, from any spelling that is read in paths; None for another word."""
    return _SPELLINGS.get(emotion.strip().lower())


def parse(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """Labels of a MEAD path, or None where actor, emotion, level or number is not to be found."""
    text = _flatten(path)
    actor, number = _ACTOR.search(text), _NUMBER.search(text)
    emotion, level = _emotion_pattern(tuple(styles)).search(text), _LEVEL.search(text)
    if actor is None or emotion is None or number is None:
        return None
    name = emotion[1] if emotion[1] in styles else _SPELLINGS[emotion[1]]
    steps = int(level[1]) if level else 1 if name == "neutral" else 0
    if not 1 <= steps <= (1 if name == "neutral" else NUM_LEVELS):
        return None
    return Name(actor[1].upper(), name, styles.get(name, "basic"), steps, _view(text), int(number[1]))


def _view(text: str) -> str:
    """The camera's name; `front` where the path names none."""
    match = _VIEW.search(text)
    if match is None:
        return "front"
    return match[3] or f"{match[1]}_{match[2]}"
