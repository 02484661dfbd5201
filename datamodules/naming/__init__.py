"""How data sets spell actor, emotion and level in their paths: one small parser file for each data set.

A parser is a function `parse(path, styles) -> Name | None`: `path` is relative to the root, without suffix and with
`/` between folders; `styles` maps extra style names to their kind. To read a further data set, add a file with such
a function and name it in `PARSERS`.
"""

from collections.abc import Callable, Mapping

from conventions.emotions import StyleKind
from datamodules.naming import crema_d, mead, ravdess
from datamodules.naming.name import Name

Parser = Callable[[str, Mapping[str, StyleKind]], Name | None]

PARSERS: Mapping[str, Parser] = {"mead": mead.parse, "crema_d": crema_d.parse, "ravdess": ravdess.parse}
"""Parsers by data set, tried in this order; the first that knows a path wins."""


def parse(path: str, styles: Mapping[str, StyleKind]) -> tuple[str, Name] | None:
    """(data set, name) of a relative path without suffix, or None where no parser knows it."""
    for source, parser in PARSERS.items():
        if (name := parser(path, styles)) is not None:
            return source, name
    return None
