"""MEAD's emotions and levels, and the name of a style: what an emotion is called and how strong it is."""

from dataclasses import dataclass
from typing import Literal

EMOTIONS = ("angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised")
"""MEAD's eight emotions by folder name; the index in this tuple is the class index everywhere."""

EMOTION_CODES = ("ang", "con", "dis", "fea", "hap", "neu", "sad", "sur")
"""MEAD's three-letter codes, in the order of `EMOTIONS`."""

NUM_LEVELS = 3
"""Levels 1..3; neutral has level 1 only."""

StyleKind = Literal["basic", "compound", "new"]


@dataclass(frozen=True, order=True)
class Style:
    """One (emotion, level) class, such as ("happy", 3); neutral exists at level 1 only."""

    emotion: str
    level: int

    @property
    def name(self) -> str:
        """`happy_3`: the style's name in tables and files."""
        return f"{self.emotion}_{self.level}"


STYLES = tuple(
    Style(emotion, level)
    for emotion in EMOTIONS
    for level in (range(1, 2) if emotion == "neutral" else range(1, NUM_LEVELS + 1))
)
"""MEAD's 22 styles; the index in this tuple is the style index everywhere."""


def style_index(emotion: str, level: int) -> int:
    """Index of (emotion, level) in `STYLES`; ValueError when MEAD has no such style."""
    return STYLES.index(Style(emotion, level))
