"""`manifest.csv`: which files are clips, and their labels, in place of what their paths say.

Columns: `path` (relative to the folder of raw clips), and any of `audio`, `actor`, `emotion`, `level`, `split`,
`start`, `end`. An empty field is read from the path where a parser reads it. `start` and `end` are seconds; several
rows may name parts of one video. `split` is train, val, test or judge; it belongs to the actor.
"""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from conventions.emotions import EMOTIONS, NUM_LEVELS, StyleKind
from conventions.errors import UserError, nearest
from conventions.files import reason_of, regular_file
from datamodules.naming.mead import spelling
from datamodules.splits import ROLES

MANIFEST = "manifest.csv"
COLUMNS = ("path", "audio", "actor", "emotion", "level", "split", "start", "end")


@dataclass(frozen=True)
class TableRow:
    """One line of a manifest; None: not stated."""

    path: str
    audio: str | None
    actor: str | None
    emotion: str | None
    level: int | None
    split: str | None
    start: float | None
    end: float | None

    @property
    def span(self) -> tuple[float, float] | None:
        """Start and end in seconds (end infinite where it is not stated); None for the whole video."""
        if self.start is None and self.end is None:
            return None
        return self.start or 0.0, math.inf if self.end is None else self.end

    @property
    def suffix(self) -> str:
        """What the span adds to a clip's id, in ms: `_1500-4000`."""
        if self.span is None:
            return ""
        end = "" if self.end is None else str(round(1000 * self.end))
        return f"_{round(1000 * self.span[0])}-{end}"


def read_table(path: Path, styles: Mapping[str, StyleKind]) -> list[TableRow]:
    """The rows of a manifest; a UserError names the line and the column where it cannot be read."""
    try:
        with regular_file(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_columns(path, list(reader.fieldnames or ()))
            rows = [
                _row(values, f"{path}, line {reader.line_num}", styles) for values in reader if any(values.values())
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not a CSV file in UTF-8 ({reason_of(error)})") from error
    if not rows:
        raise UserError(f"{path}: lists no clip")
    roles_of(path, ((row.actor, row.split) for row in rows))
    return rows


def roles_of(path: Path, pairs: Iterable[tuple[str | None, str | None]]) -> dict[str, str]:
    """Role of each actor; a UserError where an actor has two."""
    roles: dict[str, str] = {}
    for actor, role in pairs:
        if actor and role and roles.setdefault(actor, role) != role:
            raise UserError(
                f"{path}: actor {actor} is in {roles[actor]} and in {role}: a split assigns actors, not clips"
            )
    return roles


def _check_columns(path: Path, names: list[str]) -> None:
    if "path" not in names:
        raise UserError(f"{path}: has no column path; columns are {', '.join(COLUMNS)}")
    for name in names:
        if name not in COLUMNS:
            raise UserError(f"{path}: unknown column {name!r}{nearest(name, COLUMNS)}")
    if len(set(names)) < len(names):
        raise UserError(f"{path}: has a column twice")


def _row(values: Mapping[str | None, str | None], place: str, styles: Mapping[str, StyleKind]) -> TableRow:
    if None in values or None in values.values():
        raise UserError(f"{place}: does not have as many fields as columns")
    given = {name: (values.get(name) or "").strip() or None for name in COLUMNS}
    if given["path"] is None:
        raise UserError(f"{place}: names no path")
    for name in ("path", "audio"):
        if (value := given[name]) and (Path(value).is_absolute() or ".." in Path(value).parts):
            raise UserError(f"{place}: {name}: {given[name]!r} must be inside the folder of raw clips")
    start, end = _seconds(given["start"], "start", place), _seconds(given["end"], "end", place)
    if end is not None and end <= (start or 0.0):
        raise UserError(f"{place}: end: {end:g} s is not after the start, {start or 0:g} s")
    split = given["split"]
    if split is not None and split not in ROLES:
        raise UserError(f"{place}: split: {split!r}{nearest(split, ROLES)}")
    emotion = _emotion(given["emotion"], place, styles)
    level = _level(given["level"], emotion, place)
    return TableRow(given["path"], given["audio"], given["actor"], emotion, level, split, start, end)


def _emotion(value: str | None, place: str, styles: Mapping[str, StyleKind]) -> str | None:
    if value is None or value in styles:
        return value
    known = spelling(value)
    if known is None:
        raise UserError(f"{place}: emotion: {value!r}{nearest(value, {*EMOTIONS, *styles})}; styles.json names others")
    return known


def _level(value: str | None, emotion: str | None, place: str) -> int | None:
    if value is None:
        return 1 if emotion == "neutral" else None
    most = 1 if emotion == "neutral" else NUM_LEVELS
    if value not in map(str, range(1, most + 1)):
        raise UserError(f"{place}: level: {value!r} must be a whole number from 1 to {most}")
    return int(value)


def _seconds(value: str | None, name: str, place: str) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise UserError(f"{place}: {name}: {value!r} must be a number of seconds from the video's first frame")
    return seconds
