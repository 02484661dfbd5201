"""The catalogue: every clip under a folder as a record, and every file that is none with the reason why."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from conventions.emotions import StyleKind
from conventions.errors import UserError
from datamodules import naming
from datamodules.naming.name import Name
from datamodules.reasons import REASONS

__all__ = ["REASONS", "ClipRecord", "LeftOut", "catalogue", "read_styles"]

VIDEO_SUFFIXES = frozenset((".mp4", ".mov", ".avi", ".mkv", ".webm", ".flv", ".m4v"))
AUDIO_SUFFIXES = frozenset((".m4a", ".wav", ".mp3", ".aac", ".flac", ".ogg"))

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


@dataclass
class _Files:
    """Files under a root by relative path without suffix."""

    videos: dict[str, str] = field(default_factory=dict)
    audios: dict[str, str] = field(default_factory=dict)
    coefficients: set[str] = field(default_factory=set)
    shadowed: list[str] = field(default_factory=list)

    def add(self, relative: str) -> None:
        stem, suffix = os.path.splitext(relative)
        suffix = suffix.lower()
        if suffix == ".mat":
            self.coefficients.add(stem)
            return
        kind = self.videos if suffix in VIDEO_SUFFIXES else self.audios if suffix in AUDIO_SUFFIXES else None
        if kind is None:
            return
        if stem in kind:
            self.shadowed.append(relative)
        else:
            kind[stem] = relative


def _walk(root: str, prefix: str = "", seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """Relative paths of all files in sorted order; hidden names are skipped, links followed but never in a circle."""
    real = os.path.realpath(root)
    if real in seen:
        return
    with os.scandir(root) as entries:
        listing = sorted((entry.name, entry.is_dir(), entry.path) for entry in entries if entry.name[0] != ".")
    for name, is_folder, path in listing:
        if is_folder:
            yield from _walk(path, f"{prefix}{name}/", seen | {real})
        else:
            yield prefix + name


def read_styles(root: Path) -> dict[str, StyleKind]:
    """Kinds of the extra styles that `styles.json` at the root names: {"awed": {"kind": "new"}, ...}; {} without it."""
    path = root / "styles.json"
    if not path.is_file():
        return {}
    try:
        styles = {name: entry["kind"] for name, entry in json.loads(path.read_text()).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{path}: is not of the form {{"name": {{"kind": "compound"}}}} ({error!r})') from error
    for name, kind in styles.items():
        if kind not in ("compound", "new"):
            raise UserError(f"{path}: {name}: kind is {kind!r}; valid: compound, new")
    return styles


def catalogue(root: Path) -> tuple[list[ClipRecord], list[LeftOut]]:
    """Clips under `root`, sorted by id, and the files left out, each with its reason.

    MEAD, CREMA-D and RAVDESS are known by their names wherever they lie; a video that no parser knows and that bears no
    sign of a label is an unlabelled clip. A coefficient file is the `.mat` beside the video.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder")
    files, styles = _Files(), read_styles(root)
    for relative in _walk(str(root)):
        files.add(relative)
    left_out = [LeftOut(root / path, "duplicate", "another suffix of the same name") for path in files.shadowed]
    records, used = _records(root, files, styles, left_out)
    orphans = sorted(set(files.audios.values()) - used)
    left_out += [LeftOut(root / path, "no_video") for path in orphans]
    return sorted(records, key=lambda record: record.id), sorted(left_out, key=lambda item: str(item.path))


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
