"""Records of clips: the files of each, and what their names or a manifest say of it; and why files are left out."""

import dataclasses
import functools
import posixpath
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from conventions.emotions import StyleKind
from conventions.rates import VIDEO_FPS
from datamodules.naming import MANIFEST, Naming, unpaired
from datamodules.naming.name import Name
from datamodules.naming.table import TableRow

REASONS = {
    "unknown_name": "no parser finds actor, emotion and level in the path",
    "duplicate": "another file has the same actor, view, emotion, level and number",
    "no_video": "an audio file without a video of the same clip",
    "no_file": "a manifest lists a file that is not there",
    "bad_range": "the part that a manifest names reaches beyond the end of the video",
    "empty_file": "the file has no bytes",
    "unreadable": "the file cannot be decoded",
    "truncated": "the file ends before the number of frames in its header",
    "broken_timestamps": "the frames' time stamps have a gap that is too long to fill",
    "too_short": "fewer frames than the shortest usable clip",
    "too_long": "longer than the longest clip that is read",
    "empty_audio": "the audio has no samples",
    "no_audio_stream": "the audio file has no audio stream",
    "no_face": "no face is found",
    "face_lost": "the face is lost for too much of the clip",
    "two_faces": "a second face of similar size is in the image",
    "bad_coefficients": "the coefficient file cannot be read, has other shapes or values that are not finite",
    "coefficients_mismatch": "the coefficient file has rows for another number of frames",
    "no_coefficients": "no coefficient file lies beside the clip",
    "timed_out": "preparation took longer than the time allowed to one clip",
    "crashed": "the process that prepared this clip died",
    "failed": "an internal error of the preparation; please report it",
}

FAILURES = ("timed_out", "crashed", "failed")
"""Reasons that may lie in the machine (too busy, out of memory) or in this program, and not in the clip."""


MEDIA_FOLDERS = frozenset(("video", "videos", "audio", "audios", "mp4", "aac", "m4a", "wav"))
"""Folders that part the images of a data set from its audio."""


Medium = Literal["film", "sound", "picture"]


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """One clip: where its files lie and what its name contains.

    `video` of a clip that is audio alone or an image alone is that file.
    """

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
    """An audio file of its own; None: the video's audio, where it has one."""
    coefficients: Path | None
    source: str
    """What named the clip: a parser of `datamodules.naming`, `manifest`, or `plain`."""
    span: tuple[float, float] | None = None
    """Start and end in seconds of the part of the video that is the clip; None: the whole video."""
    split: str | None = None
    """The actor's role, where a manifest states one."""
    medium: Medium = "film"
    """A video, with or without audio; or audio or an image alone, which train AME."""

    @property
    def first_frame(self) -> int:
        """The video's 25 fps frame with which the clip begins."""
        return 0 if self.span is None else round(self.span[0] * VIDEO_FPS)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is no clip, and why."""

    path: Path
    reason: str
    """A key of `REASONS`."""
    detail: str = ""
    id: str | None = None


class Listed:
    """The rows of a manifest by the path of the video."""

    def __init__(self, table: Path | None, rows: Sequence[TableRow]) -> None:
        self.table = table
        self._rows: dict[str, list[TableRow]] = {}
        for row in rows:
            self._rows.setdefault(_key(row.path), []).append(row)

    def take(self, path: str) -> list[TableRow]:
        """The rows of a video, each once."""
        return self._rows.pop(_key(path), [])

    @property
    def rest(self) -> list[TableRow]:
        """Rows whose video was not taken."""
        return [row for rows in self._rows.values() for row in rows]


def _key(path: str) -> str:
    """A path however its letters are composed and whatever `.` stands in it."""
    return unicodedata.normalize("NFC", posixpath.normpath(path))


@dataclass
class Finder:
    """Makes records of files, and finds the audio that belongs to each."""

    root: Path
    videos: Mapping[str, str]
    """Path by path without suffix."""
    audios: Mapping[str, str]
    coefficients: Collection[str]
    styles: Mapping[str, StyleKind]
    naming: Naming
    listed: Listed
    unlisted: bool
    """Whether videos that the manifest does not list are clips too."""
    left_out: list[LeftOut] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    """Audio files that belong to a clip."""

    def records(self) -> list[ClipRecord]:
        """The videos as records."""
        found: dict[str, ClipRecord] = {}
        for stem, path in self.videos.items():
            rows: Sequence[TableRow | None] = self.listed.take(path) or ([None] if self.unlisted else [])
            for row in rows:
                record = self._record(stem, row)
                if record is not None and record.id in found:
                    self._leave(path, "duplicate", f"of {found[record.id].video}", record.id)
                elif record is not None:
                    found[record.id] = record
        for row in self.listed.rest:
            self._leave(row.path, "no_file", f"{self.listed.table} lists a video that is not there")
        return list(found.values())

    def alone(self, paths: Sequence[str], medium: Medium) -> list[ClipRecord]:
        """Audio or images of a folder without videos as records of their own; unlabelled ones are left out."""
        naming, found = unpaired(self.naming), dict[str, ClipRecord]()
        for path in paths:
            parsed = naming.parse(posixpath.splitext(path)[0], self.styles)
            if parsed is None or parsed[1].emotion is None:
                self._leave(path, "unknown_name")
                continue
            source, name = parsed
            who, labels = (name.id, name.actor), (name.emotion, name.level)
            where = (name.view, name.number, self.root / path)
            record = ClipRecord(*who, *labels, name.kind, *where, None, None, source, medium=medium)
            if record.id in found:
                self._leave(path, "duplicate", f"of {found[record.id].video}", record.id)
            else:
                found[record.id] = record
        return list(found.values())

    def _leave(self, path: str, reason: str, detail: str = "", identifier: str | None = None) -> None:
        self.left_out.append(LeftOut(self.root / path, reason, detail, identifier))

    def _record(self, stem: str, row: TableRow | None) -> ClipRecord | None:
        path = self.videos[stem]
        source, name = self.naming.parse(stem, self.styles) or ("plain", None)
        if name is None and not (row and row.actor) and self.naming.leaves_out(stem, self.styles):
            self._leave(path, "unknown_name")
            return None
        audio = self._sound(stem, name, row)
        if audio is not None and not (self.root / audio).is_file():
            self._leave(path, "no_file", f"{self.listed.table} lists the audio file {audio}, which is not there")
            return None
        self.used |= {audio} if audio else set()
        plain = stem.replace("/", "__")
        record = ClipRecord(
            id=name.id if name else plain,
            actor=name.actor if name else plain,
            emotion=name.emotion if name else None,
            level=name.level if name else None,
            kind=name.kind if name else None,
            view=name.view if name else "front",
            number=name.number if name else 0,
            video=self.root / path,
            audio=self.root / audio if audio else None,
            coefficients=self.root / f"{stem}.mat" if stem in self.coefficients else None,
            source=source,
        )
        return record if row is None else _stated(record, row, plain, self.styles)

    def _sound(self, stem: str, name: Name | None, row: TableRow | None) -> str | None:
        """The audio file of a video: the manifest's, the one beside it, or the one of the same labels or place."""
        if row is not None and row.audio is not None:
            return row.audio
        beside = self.audios.get(stem)
        return beside or self._sounds.get(name.speech if name else _place(stem))

    @functools.cached_property
    def _sounds(self) -> dict[Any, str]:
        """Audio files without a video beside them, by labels, or by place where no parser reads them."""
        sounds: dict[Any, str] = {}
        for stem, path in self.audios.items():
            if stem not in self.videos:
                parsed = self.naming.parse(stem, self.styles)
                sounds.setdefault(parsed[1].speech if parsed else _place(stem), path)
        return sounds


def _place(stem: str) -> tuple[str, ...]:
    """Where a file lies, leaving out the folders that part images from audio (`video/a` and `audio/a`)."""
    *folders, name = stem.split("/")
    return (*(folder for folder in folders if folder.lower() not in MEDIA_FOLDERS), name)


def _stated(record: ClipRecord, row: TableRow, plain: str, styles: Mapping[str, StyleKind]) -> ClipRecord:
    """A record with what a manifest states in place of what the name contains."""
    own = row.actor or row.emotion or row.level
    emotion = row.emotion or record.emotion
    level = row.level or (record.level if emotion == record.emotion else None)
    return dataclasses.replace(
        record,
        id=(plain if own else record.id) + row.suffix,
        actor=row.actor or record.actor,
        emotion=emotion,
        level=level,
        kind=styles.get(emotion, "basic") if emotion else None,
        source=MANIFEST,
        span=row.span,
        split=row.split,
    )
