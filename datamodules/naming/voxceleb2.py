"""VoxCeleb2: `dev/mp4/id00012/21Uxsk56VDQ/00001.mp4`, sound in `aac/`; the identity is the first folder; no labels.

Copies that fold the folders into the file's name (`id00012#21Uxsk56VDQ#00001.mp4`, or with `_`) are read too.
"""

import re
from collections.abc import Mapping

from conventions.emotions import StyleKind
from datamodules.naming.name import Name

_NAME = re.compile(r"(?:^|/)(id\d{5})[/#_](.+)$")


def parse(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """Identity of a VoxCeleb2 path, or None."""
    match = _NAME.search(path)
    if match is None:
        return None
    return Name(match[1], clip=f"{match[1]}_{re.sub('[/#]', '_', match[2])}")
