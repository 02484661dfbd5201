"""CREMA-D: `1001_IEO_ANG_HI.flv`: actor, sentence, emotion, intensity."""

import re
from collections.abc import Mapping

from conventions.emotions import StyleKind
from datamodules.naming.name import Name

SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
EMOTIONS = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
LEVELS = {"LO": 1, "MD": 2, "HI": 3, "XX": 2}
"""`XX` (not specified: 11 of the 12 sentences) is read as the middle level."""

_NAME = re.compile(rf"(?:^|/)(\d{{4}})_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS)})_(LO|MD|HI|XX|X)$")


def parse(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """Labels of a CREMA-D path, or None."""
    match = _NAME.search(path)
    if match is None:
        return None
    emotion = EMOTIONS[match[3]]
    level = 1 if emotion == "neutral" else LEVELS.get(match[4], 2)
    return Name(match[1], emotion, "basic", level, "front", SENTENCES.index(match[2]) + 1)
