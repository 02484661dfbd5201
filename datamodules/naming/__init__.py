"""How data sets spell actor, emotion and level in their paths: one small parser file for each data set.

A parser is a function `parse(path, styles) -> Name | None`: `path` is relative to the root, without suffix and with
`/` between folders; `styles` maps extra style names to their kind. `emospace prepare --naming` takes the name of one,
an import path `module:function`, or an entry point of the group `emospace.naming`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from conventions.emotions import StyleKind
from conventions.errors import UserError
from conventions.registry import Registry
from datamodules.naming import mead, ravdess
from datamodules.naming.name import Name

Parser = Callable[[str, Mapping[str, StyleKind]], Name | None]

PARSERS = Registry(
    "naming of a data set",
    "naming",
    {
        name: f"datamodules.naming.{name}:parse"
        for name in ("mead", "crema_d", "ravdess", "hdtf", "voxceleb2", "celebv_hq")
    },
)
"""Name of a data set -> its parser."""

AUTO, PLAIN, MANIFEST = "auto", "plain", "manifest"
LABELLED = ("mead", "crema_d", "ravdess")
TRIED = (*LABELLED, "hdtf", "voxceleb2")
"""Parsers that `auto` tries, in this order; the first that reads a path wins."""


@dataclass(frozen=True)
class Naming:
    """The parsers that are tried on each path, and what becomes of a path that none reads."""

    parsers: Mapping[str, Parser]
    unknown: Literal["clip", "claims", "left_out"]
    """An unlabelled clip; the same, unless the path looks like MEAD's or RAVDESS's; or left out."""

    def parse(self, path: str, styles: Mapping[str, StyleKind]) -> tuple[str, Name] | None:
        """(data set, name) of a relative path without suffix, or None where no parser reads it."""
        for source, parser in self.parsers.items():
            name = parser(path, styles)
            if name is not None and not isinstance(name, Name):
                raise UserError(f"naming {source!r}: gives {name!r} for {path}, not a Name or None")
            if name is not None:
                return source, name
        return None

    def leaves_out(self, path: str, styles: Mapping[str, StyleKind]) -> bool:
        """Whether a path that no parser reads is left out."""
        if self.unknown != "claims":
            return self.unknown == "left_out"
        return mead.claims(path, styles) or ravdess.claims(path)


def naming_of(choice: str) -> Naming:
    """The naming that `--naming` chooses: `auto`, `plain` (each clip is unlabelled), or one parser.

    A manifest names the clips that it lists; what it leaves open is read from their paths as by `auto`.
    """
    if choice == PLAIN:
        return Naming({}, "clip")
    if choice in (AUTO, MANIFEST) or choice.endswith(".csv"):
        return Naming({name: PARSERS.load(name) for name in TRIED}, "claims")
    if choice not in PARSERS:
        PARSERS.path(choice)
    return Naming({choice: PARSERS.load(choice)}, "left_out")


def parse(path: str, styles: Mapping[str, StyleKind]) -> tuple[str, Name] | None:
    """(data set, name) of a relative path without suffix in the data sets that have labels; None in no such one."""
    return Naming({name: PARSERS.load(name) for name in LABELLED}, "clip").parse(path, styles)
