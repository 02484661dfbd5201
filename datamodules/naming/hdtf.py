"""HDTF: `WDA_BarackObama_000.mp4`, `WDA_BarbaraLee1_002.mp4`, `RD_Radio10_000.mp4`: speaker and piece; no labels."""

import re
from collections.abc import Mapping

from conventions.emotions import StyleKind
from datamodules.naming.name import Name

_NAME = re.compile(r"(?:^|/)((?:WDA|WRA)_([A-Za-z]+?)(\d*)|RD_(Radio\d+))_(\d{3})$")


def parse(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """Speaker of an HDTF path, or None.

    Several films of one speaker (`BarbaraLee0`, `BarbaraLee1`, of either list) have one actor; who speaks in which
    Radio film is not known, so that each is an actor of its own.
    """
    match = _NAME.search(path)
    if match is None:
        return None
    return Name(match[2] or match[4], number=int(match[5]), clip=f"{match[1]}_{match[5]}")
