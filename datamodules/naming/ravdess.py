"""RAVDESS: `02-01-06-01-02-01-12.mp4`: modality, channel, emotion, intensity, statement, repetition, actor."""

import re
from collections.abc import Mapping

from conventions.emotions import StyleKind
from datamodules.naming.name import Name

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgusted",
    "08": "surprised",
}
"""Calm has no counterpart in MEAD: without a label map its clips are left out as of an unknown name."""
LEVELS = {"01": 2, "02": 3}
"""Normal and strong intensity, as MEAD's levels 2 and 3."""

_NAME = re.compile(r"(?:^|/)0[123]-01-(\d\d)-(0[12])-(0[12])-(0[12])-(\d\d)$")


_ANY = re.compile(r"(?:^|/)0[123]-0[12](-\d\d){5}$")


def claims(path: str) -> bool:
    """Whether a path is RAVDESS's, songs included, which have an actor but no label here."""
    return _ANY.search(path) is not None


def parse(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """Labels of a RAVDESS speech path, or None (songs included)."""
    match = _NAME.search(path)
    if match is None or match[1] not in EMOTIONS:
        return None
    emotion = EMOTIONS[match[1]]
    level = 1 if emotion == "neutral" else LEVELS[match[2]]
    number = 10 * int(match[3]) + int(match[4])
    return Name(f"actor_{match[5]}", emotion, "basic", level, "front", number)
