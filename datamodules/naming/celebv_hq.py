"""CelebV-HQ: `M2Ohb0FAaJU_1.mp4`: the YouTube film and the number of the clip; no labels.

Who is shown is not known; clips of one film count as one actor, so that no person is on two sides of a split. Such
names look like many others: this parser is used where it is named, not tried on every folder.
"""

import re
from collections.abc import Mapping

from conventions.emotions import StyleKind
from datamodules.naming.name import Name

_NAME = re.compile(r"(?:^|/)(([\w-]{11})_\d+(?:_\d+)*)$")


def parse(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """Film of a CelebV-HQ path, or None."""
    match = _NAME.search(path)
    return None if match is None else Name(match[2], clip=match[1])
