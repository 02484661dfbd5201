"""How data sets spell actor, emotion and level in their paths: one parser for each data set.

A parser is a function `parse(path, styles) -> Name | None`: `path` is relative to the root, without suffix and with
`/` between folders; `styles` maps extra style names to their kind. `emospace prepare --naming` takes the name of one,
an import path `module:function`, or an entry point of the group `emospace.naming`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from conventions.emotions import EMOTIONS, StyleKind
from conventions.errors import UserError
from conventions.registry import Registry
from datamodules.naming import mead
from datamodules.naming.name import Labels, Name
from datamodules.naming.parsers import is_ravdess

Parser = Callable[[str, Mapping[str, StyleKind]], Name | None]

PARSERS = Registry(
    "naming of a data set",
    "naming",
    {
        "mead": "datamodules.naming.mead:parse",
        **{
            name: f"datamodules.naming.parsers:{name}"
            for name in ("crema_d", "ravdess", "hdtf", "voxceleb2", "celebv_hq", "emotion_folders")
        },
    },
)
"""Name of a data set -> its parser."""

AUTO, PLAIN, MANIFEST = "auto", "plain", "manifest"
LABELLED = ("mead", "crema_d", "ravdess")
FOLDERS = "emotion_folders"
TRIED = (*LABELLED, "hdtf", "voxceleb2")
"""Parsers that `auto` tries, in this order; the first that reads a path wins."""


@dataclass(frozen=True)
class Naming:
    """The parsers that are tried on each path, and what becomes of a path that none reads."""

    parsers: Mapping[str, Parser]
    unknown: Literal["clip", "claims", "left_out"]
    """An unlabelled clip; the same, unless the path looks like MEAD's or RAVDESS's; or left out."""
    labels: Labels = field(default_factory=dict)
    """What words that are no emotion of MEAD's mean."""

    def parse(self, path: str, styles: Mapping[str, StyleKind]) -> tuple[str, Name] | None:
        """(data set, name) of a relative path without suffix, or None where no parser reads it."""
        for source, parser in self.parsers.items():
            name = parser(path, styles)
            if name is not None and not isinstance(name, Name):
                raise UserError(f"naming {source!r}: gives {name!r} for {path}, not a Name or None")
            if name is not None and (known := self._known(name, styles)) is not None:
                return source, known
        return None

    def _known(self, name: Name, styles: Mapping[str, StyleKind]) -> Name | None:
        """A name whose emotion is one of MEAD's or of the extra styles, by the label map where it has another word."""
        if name.emotion is None or name.emotion in EMOTIONS or name.emotion in styles:
            return name
        if name.emotion.lower() not in self.labels:
            return None
        emotion, level = self.labels[name.emotion.lower()]
        return dataclasses.replace(name, emotion=emotion, level=level or name.level, kind="basic", clip=name.id)

    def leaves_out(self, path: str, styles: Mapping[str, StyleKind]) -> bool:
        """Whether a path that no parser reads is left out."""
        if self.unknown != "claims":
            return self.unknown == "left_out"
        return mead.claims(path, styles) or is_ravdess(path)


def unpaired(naming: Naming) -> Naming:
    """The same for collections of audio or images alone, which may have a folder for each emotion."""
    folders = {} if naming.unknown == "left_out" else {FOLDERS: PARSERS.load(FOLDERS)}
    return dataclasses.replace(naming, parsers={**naming.parsers, **folders})


def naming_of(choice: str, labels: Labels | None = None) -> Naming:
    """The naming that `--naming` chooses: `auto`, `plain` (each clip is unlabelled), or one parser.

    A manifest names the clips that it lists; what it leaves open is read from their paths as by `auto`.
    """
    if choice == PLAIN:
        return Naming({}, "clip")
    labels = labels or {}
    if choice in (AUTO, MANIFEST) or choice.endswith(".csv"):
        return Naming({name: PARSERS.load(name) for name in TRIED}, "claims", labels)
    if choice not in PARSERS:
        PARSERS.path(choice)
    return Naming({choice: PARSERS.load(choice)}, "left_out", labels)


def parse(path: str, styles: Mapping[str, StyleKind]) -> tuple[str, Name] | None:
    """(data set, name) of a relative path without suffix in the data sets that have labels; None in no such one."""
    return Naming({name: PARSERS.load(name) for name in LABELLED}, "clip").parse(path, styles)
