"""A label map: what another data set's words mean among MEAD's emotions and levels.

A YAML file such as `{calm: neutral, fearful: fear, "4": happy 3}`: the word of a path, then an emotion and, where it is
known, a level.
"""

from collections.abc import Mapping
from pathlib import Path

import yaml

from conventions.emotions import EMOTIONS, NUM_LEVELS
from conventions.errors import UserError, nearest
from conventions.files import reason_of, regular_file

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
