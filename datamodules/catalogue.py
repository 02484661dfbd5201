"""The catalogue: every clip under a folder as a record, and every file that is none with the reason why."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from conventions.emotions import StyleKind
from conventions.errors import UserError
from conventions.files import regular_file
from datamodules import naming
from datamodules.naming.name import Name
from datamodules.reasons import REASONS

__all__ = ["REASONS", "ClipRecord", "LeftOut", "catalogue", "read_styles"]

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".mov", ".avi", ".mkv", ".webm", ".flv", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts", ".mts", ".m2ts", ".3gp")
)
AUDIO_SUFFIXES = frozenset(
    (".m4a", ".wav", ".mp3", ".aac", ".flac", ".ogg", ".oga", ".opus", ".wma", ".aif", ".aiff", ".mka")
)
STYLES_FILE = "styles.json"

_LABEL_FOLDERS = frozenset(("video", "audio"))


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """One clip: where its files lie and what its name says."""

    id: str
    """Unique in the catalogue: `M030_front_happy_3_001`, or the relative path of an unlabelled clip."""
    actor: str
    """An unlabelled clip is its own actor."""
    emotion: str | None
    """None: the clip has no label."""
    level: int | None
    kind: StyleKind | None
    view: str
    number: int
    video: Path
    audio: Path | None
    """A sound file of its own; None: the video's sound, where it has one."""
    coefficients: Path | None
    source: str
    """The data set whose spelling this is: a key of `datamodules.naming.PARSERS`, or `plain`."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is no clip, and why."""

    path: Path
    reason: str
    """A key of `REASONS`."""
    detail: str = ""
    id: str | None = None


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
        if suffix not in {*VIDEO_SUFFIXES, *AUDIO_SUFFIXES, ".mat"}:
            self.unhandled.update([suffix] if relative != STYLES_FILE else [])
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


def catalogue(root: Path) -> Catalogue:
    """Clips under `root`, the files left out, each with its reason, and the suffixes that nothing reads.

    MEAD, CREMA-D and RAVDESS are known by their names wherever they lie; a video that no parser knows and that bears no
    sign of a label is an unlabelled clip. A coefficient file is the `.mat` beside the video.
    """
    if not os.path.isdir(root):
        raise UserError(f"{root}: no such folder")
    files, styles = _Files(str(root)), read_styles(root)
    files.walk()
    left_out = files.left_out
    records, used = _records(root, files, styles, left_out)
    orphans = sorted(set(files.audios.values()) - used)
    left_out += [LeftOut(root / path, "no_video") for path in orphans]
    by_id = sorted(records, key=lambda record: record.id)
    return Catalogue(by_id, sorted(left_out, key=lambda item: str(item.path)), dict(sorted(files.unhandled.items())))


def _records(
    root: Path, files: _Files, styles: Mapping[str, StyleKind], left_out: list[LeftOut]
) -> tuple[list[ClipRecord], set[str]]:
    """The videos as records, and the sound files that belong to one."""
    sounds = _sounds_by_label(files, styles)
    records: dict[str, ClipRecord] = {}
    used: set[str] = set()
    for stem, path in files.videos.items():
        parsed = naming.parse(stem, styles)
        if parsed is None and _half_labelled(stem):
            left_out.append(LeftOut(root / path, "unknown_name"))
            continue
        source, name = parsed or ("plain", None)
        audio = files.audios.get(stem) or (sounds.get(_label(name)) if name else None)
        used |= {audio} if audio else set()
        record = _record(root, stem, files, name, audio, source)
        if record.id in records:
            left_out.append(LeftOut(root / path, "duplicate", f"of {records[record.id].video}", record.id))
        else:
            records[record.id] = record
    return list(records.values()), used


def _label(name: Name) -> tuple[str, str, int, int]:
    """What a MEAD sound file shares with the videos of all views."""
    return name.actor, name.emotion, name.level, name.number


def _sounds_by_label(files: _Files, styles: Mapping[str, StyleKind]) -> dict[tuple[str, str, int, int], str]:
    sounds: dict[tuple[str, str, int, int], str] = {}
    for stem, path in files.audios.items():
        if stem not in files.videos and (parsed := naming.parse(stem, styles)) is not None:
            sounds.setdefault(_label(parsed[1]), path)
    return sounds


def _half_labelled(stem: str) -> bool:
    """Whether a path that no parser knows still claims to belong to a labelled data set."""
    folders = stem.lower().split("/")[:-1]
    return bool(_LABEL_FOLDERS.intersection(folders)) or naming.mead.parse_actor(stem) is not None


def _record(root: Path, stem: str, files: _Files, name: Name | None, audio: str | None, source: str) -> ClipRecord:
    coefficients = root / f"{stem}.mat" if stem in files.coefficients else None
    video, sound = root / files.videos[stem], None if audio is None else root / audio
    if name is None:
        identifier = stem.replace("/", "__")
        return ClipRecord(identifier, identifier, None, None, None, "front", 0, video, sound, coefficients, source)
    return ClipRecord(
        name.id,
        name.actor,
        name.emotion,
        name.level,
        name.kind,
        name.view,
        name.number,
        video,
        sound,
        coefficients,
        source,
    )
