"""The catalogue: every clip under a folder as a record, and every file that is none with the reason why."""

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from conventions.emotions import StyleKind
from conventions.errors import UserError
from conventions.files import regular_file
from datamodules.naming import AUTO, MANIFEST, naming_of
from datamodules.naming.name import read_labels
from datamodules.naming.table import MANIFEST as TABLE
from datamodules.naming.table import read_table, roles_of
from datamodules.records import REASONS, ClipRecord, Finder, LeftOut, Listed

__all__ = ["REASONS", "ClipRecord", "LeftOut", "catalogue", "read_styles"]

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".mov", ".avi", ".mkv", ".webm", ".flv", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts", ".mts", ".m2ts", ".3gp")
)
AUDIO_SUFFIXES = frozenset(
    (".m4a", ".wav", ".mp3", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff", ".mka")
)
PICTURE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"))
STYLES_FILE = "styles.json"


class Catalogue(NamedTuple):
    """What lies under a folder."""

    records: list[ClipRecord]
    """Clips, sorted by id."""
    left_out: list[LeftOut]
    unhandled: dict[str, int]
    """Number of files by suffix that nothing reads; "" for files without a suffix."""


@dataclass
class _Files:
    """Files under a root by relative path without suffix."""

    root: str
    left_out: list[LeftOut] = field(default_factory=list)
    unhandled: Counter[str] = field(default_factory=Counter)
    videos: dict[str, str] = field(default_factory=dict)
    audios: dict[str, str] = field(default_factory=dict)
    coefficients: set[str] = field(default_factory=set)
    pictures: list[str] = field(default_factory=list)

    def walk(self, prefix: str = "", seen: frozenset[str] = frozenset()) -> None:
        """Add all files below a folder in sorted order; hidden names are skipped, links never followed in a circle."""
        folder = os.path.join(self.root, prefix)
        real = os.path.realpath(folder)
        if real in seen:
            return
        try:
            names = sorted(name for name in os.listdir(folder) if name[0] != ".")
        except OSError as error:
            self.left_out.append(LeftOut(Path(folder), "unreadable", f"the folder cannot be read ({error.strerror})"))
            return
        for name in names:
            if os.path.isdir(os.path.join(folder, name)):
                self.walk(f"{prefix}{name}/", seen | {real})
            else:
                self.add(prefix + name)

    def add(self, relative: str) -> None:
        stem, suffix = os.path.splitext(relative)
        suffix = suffix.lower()
        if suffix in PICTURE_SUFFIXES:
            self.pictures.append(relative)
        elif suffix not in {*VIDEO_SUFFIXES, *AUDIO_SUFFIXES, ".mat"}:
            self.unhandled.update([suffix] if relative not in (STYLES_FILE, TABLE) else [])
        elif (state := _no_file(Path(self.root, relative))) is not None:
            self.left_out.append(LeftOut(Path(self.root, relative), "unreadable", state))
        elif suffix == ".mat":
            self.coefficients.add(stem)
        else:
            self._add_media(stem, relative, self.videos if suffix in VIDEO_SUFFIXES else self.audios)

    def _add_media(self, stem: str, relative: str, kind: dict[str, str]) -> None:
        if stem in kind:
            self.left_out.append(LeftOut(Path(self.root, relative), "duplicate", "another suffix of the same name"))
        else:
            kind[stem] = relative


def _no_file(path: Path) -> str | None:
    """Why a path is no file that can be read, such as a link to nothing; None for a file."""
    try:
        regular_file(path)
    except UserError as error:
        return str(error)
    return None


def read_styles(root: Path) -> dict[str, StyleKind]:
    """Kinds of the extra styles that `styles.json` at the root names: {"awed": {"kind": "new"}, ...}; {} without it."""
    path = root / STYLES_FILE
    if not path.is_file():
        return {}
    try:
        styles = {name: entry["kind"] for name, entry in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f'{path}: is not of the form {{"name": {{"kind": "compound"}}}} ({error!r})') from error
    for name, kind in styles.items():
        if kind not in ("compound", "new"):
            raise UserError(f"{path}: {name}: kind is {kind!r}; valid: compound, new")
    return styles


def catalogue(root: Path, naming: str = AUTO, labels: Path | None = None) -> Catalogue:
    """Clips under `root`, the files left out, each with its reason, and the suffixes that nothing reads.

    `naming` is `auto`, `plain`, `manifest`, the path of a `.csv` manifest, or a parser (see `datamodules.naming`).
    `auto` finds data sets by their names wherever they lie, after what a `manifest.csv` in `root` states; a video that
    no parser reads and that does not look like MEAD's is an unlabelled clip. A coefficient file is the `.mat` beside
    the video. `labels` is a label map (see `datamodules.naming.name`). In a folder without any video the sounds and
    images that have an emotion are clips of their own.
    """
    if not os.path.isdir(root):
        raise UserError(f"{root}: no such folder")
    files, styles = _Files(str(root)), read_styles(root)
    files.walk()
    table = _table(root, naming)
    listed = Listed(table, read_table(table, styles) if table else [])
    found = files.videos, files.audios, files.coefficients
    names = naming_of(naming, None if labels is None else read_labels(labels))
    finder = Finder(root, *found, styles, names, listed, naming not in (MANIFEST, str(table)))
    records = finder.records()
    if files.videos or table is not None:
        orphans = sorted(set(files.audios.values()) - finder.used)
        finder.left_out += [LeftOut(root / path, "no_video") for path in orphans]
        files.unhandled.update(os.path.splitext(path)[1].lower() for path in files.pictures)
    else:
        records += finder.alone(list(files.audios.values()), "sound") + finder.alone(files.pictures, "picture")
    left_out = files.left_out + finder.left_out
    by_id = sorted(records, key=lambda record: record.id)
    if table is not None:
        roles_of(table, ((record.actor, record.split) for record in by_id))
    return Catalogue(by_id, sorted(left_out, key=lambda item: str(item.path)), dict(sorted(files.unhandled.items())))


def _table(root: Path, naming: str) -> Path | None:
    """The manifest that a naming asks for, or that lies in the folder where names are found automatically."""
    if naming.endswith(".csv"):
        return Path(naming)
    path = root / TABLE
    return path if naming == MANIFEST or (naming == AUTO and path.exists()) else None
