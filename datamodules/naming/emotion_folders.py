"""A folder for each emotion: `train/happy/00017.png` (FER2013, RAF-DB, AffectNet), `0011/Angry/0011_000351.wav` (ESD).

The folder above names the actor where it is one; pictures of unknown people are one actor for each part of the
collection (`train`, `validation`), so that a split can separate the parts.
"""

from collections.abc import Mapping

from conventions.emotions import StyleKind
from datamodules.naming.mead import spelling
from datamodules.naming.name import Name

PARTS = frozenset(("train", "training", "val", "valid", "validation", "dev", "test", "testing", "evaluation"))
"""Folders that part a collection."""
ALL = "all"
"""The actor of files in a collection without parts and people."""


def parse(path: str, styles: Mapping[str, StyleKind]) -> Name | None:
    """The emotion by the folder that holds a file, without a level; None where there is no such folder.

    A folder of another name is the emotion as it is written, for a label map to read.
    """
    *folders, _ = path.split("/")
    named = [folder for folder in folders if folder.lower() not in PARTS]
    if not named:
        return None
    *above, last = named
    emotion = last if last in styles else spelling(last) or last.lower()
    parts = [folder for folder in folders if folder not in named]
    actor = "_".join(above or parts) or ALL
    level = 1 if emotion == "neutral" else None
    return Name(actor, emotion, styles.get(emotion, "basic"), level, clip=path.replace("/", "__"))
