"""What a path contains about a clip; and label maps: what other words mean among MEAD's emotions and levels.

A label map is a YAML file such as `{calm: neutral, fearful: fear, "4": happy 3}`: the word of a path, then an emotion
and, where it is known, a level.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from conventions.emotions import EMOTIONS, NUM_LEVELS, StyleKind
from conventions.errors import UserError, nearest
from conventions.files import reason_of, regular_file


@dataclass(frozen=True, slots=True)
class Name:
    """Identity and labels of one clip, as a data set's file names state them.

    Examples:
        >>> Name("M030", "happy", "basic", 3, number=1).id
        'M030_front_happy_3_001'
    """

    actor: str
    """Name of the actor, unique in the data set."""
    emotion: str | None = None
    """One of `conventions.emotions.EMOTIONS`, the name of an extra style, or None where the data set has no labels."""
    kind: StyleKind | None = None
    """`basic` for one of the eight emotions, `compound` or `new` for extra styles; None without a label."""
    level: int | None = None
    """1..3; neutral has 1 only; None where the data set has no levels."""
    view: str = "front"
    """The camera."""
    number: int = 0
    """Number of the take; it does not identify the sentence."""
    clip: str | None = None
    """The clip's id in data sets whose labels do not identify it."""

    @property
    def id(self) -> str:
        """`M030_front_happy_3_001`: the clip's name in catalogues, stores and tables."""
        return self.clip or f"{self.actor}_{self.view}_{self.emotion}_{self.level}_{self.number:03d}"

    @property
    def speech(self) -> tuple[str | int | None, ...]:
        """What an audio file shares with the videos of all views."""
        return self.clip, self.actor, self.emotion, self.level, self.number


Labels = Mapping[str, tuple[str, int | None]]
"""Word in lower case -> emotion, and level where it is stated."""


def read_labels(path: Path) -> Labels:
    """The map of a file; UserError names the entry that is wrong."""
    try:
        values = yaml.safe_load(regular_file(path).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: is not valid YAML ({reason_of(error)})") from error
    if not isinstance(values, dict) or not values:
        raise UserError(f"{path}: expected a mapping of words to emotions, such as 'calm: neutral'")
    return {str(word).lower(): _meaning(f"{path}: {word}", value) for word, value in values.items()}


def _meaning(place: str, value: object) -> tuple[str, int | None]:
    words = value.split() if isinstance(value, str) else []
    if not words or len(words) > 2:
        raise UserError(f"{place}: expected an emotion and, if known, a level, such as 'fear 2', not {value!r}")
    emotion = words[0]
    if emotion not in EMOTIONS:
        raise UserError(f"{place}: {emotion!r} is not an emotion{nearest(emotion, EMOTIONS)}")
    most = 1 if emotion == "neutral" else NUM_LEVELS
    if len(words) == 2 and words[1] not in map(str, range(1, most + 1)):
        raise UserError(f"{place}: level {words[1]!r} must be a whole number from 1 to {most}")
    stated = int(words[1]) if len(words) == 2 else None
    return emotion, 1 if emotion == "neutral" else stated
