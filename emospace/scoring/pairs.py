"""Which generated video belongs to which true one: by name, by a CSV, or by the layout of a method's own repository."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ablations.methods import Layout
from conventions.errors import UserError, nearest
from datamodules.naming import parse

VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
COLUMNS = ("generated", "truth")


@dataclass(frozen=True)
class Pair:
    """Two videos of one clip."""

    id: str
    """The generated video's path inside its folder, without suffix; with a layout the clip's id in a catalogue."""
    generated: Path
    truth: Path
    layout: Layout | None = None
    stills: tuple[Path, ...] = ()
    """The generated frames where they are images in the folder `generated`, in order."""


@dataclass(frozen=True)
class Pairs:
    """What is scored, and the videos that have no partner: relative paths."""

    pairs: list[Pair]
    lone_generated: list[str]
    lone_truth: list[str]


def find_pairs(generated: Path, truth: Path, listed: Path | None = None) -> Pairs:
    """Pairs of two videos or of two folders, by name or by the CSV file `listed`."""
    for path in (generated, truth):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder")
    if listed is not None:
        return Pairs(read_pairs(listed, generated, truth), [], [])
    if generated.is_file() and truth.is_file():
        return Pairs([Pair(generated.stem, generated, truth)], [], [])
    for path, other in ((generated, truth), (truth, generated)):
        if path.is_file():
            raise UserError(f"{path}: is a file, but {other} is a folder; give two videos or two folders of videos")
    return match_names(generated, truth)


def match_names(generated: Path, truth: Path) -> Pairs:
    """Videos of the same relative path, else of the same relative path but for the suffix, else of the same stem."""
    made, true = videos(generated), videos(truth)
    chosen: dict[Path, Path] = {}
    lone: list[str] = []
    for path in made:
        partner = _partner(path, true, generated, truth)
        if partner is None:
            lone.append(path.as_posix())
        elif partner in chosen:
            both = f"{generated / chosen[partner]} and {generated / path}"
            raise UserError(f"{truth / partner}: is the true video of both {both}; rename one or give --pairs")
        else:
            chosen[partner] = path
    if not chosen:
        examples = f"{generated / made[0]} has none among {truth / true[0]}, ..."
        raise UserError(f"{generated}: no video has the name of one in {truth} ({examples}); give --pairs CSV")
    pairs = [
        Pair(path.with_suffix("").as_posix(), generated / path, truth / partner) for partner, path in chosen.items()
    ]
    return Pairs(
        sorted(pairs, key=lambda pair: pair.id), lone, [path.as_posix() for path in true if path not in chosen]
    )


def videos(folder: Path) -> list[Path]:
    """Relative paths of the video files in a folder and below it, sorted; hidden ones left out."""
    found = sorted(
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise UserError(f"{folder}: contains no video ({' '.join(VIDEO_SUFFIXES)})")
    return found


def _partner(path: Path, true: list[Path], generated: Path, truth: Path) -> Path | None:
    """The true video of one generated video; UserError where a stem fits several and no path does."""
    if path in true:
        return path
    for fitting in (
        [other for other in true if other.with_suffix("") == path.with_suffix("")],
        [other for other in true if other.stem == path.stem],
    ):
        if len(fitting) > 1:
            names = ", ".join(str(truth / other) for other in fitting[:3]) + (", ..." if len(fitting) > 3 else "")
            raise UserError(f"{generated / path}: may belong to {names}; keep the truth's folders, or give --pairs CSV")
        if fitting:
            return fitting[0]
    return None


def read_pairs(path: Path, generated: Path, truth: Path) -> list[Pair]:
    """Pairs of a CSV file with the columns `generated` and `truth`, paths relative to the two folders."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; --pairs takes a CSV with the columns generated,truth")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is not CSV text ({error})") from error
    pairs = [_listed(f"{path}, line {line}", row, generated, truth) for line, row in rows]
    if not pairs:
        raise UserError(f"{path}: lists no pair of videos")
    first: dict[Path, int] = {}
    for (line, _), pair in zip(rows, pairs, strict=True):
        if (earlier := first.setdefault(pair.generated, line)) != line:
            raise UserError(f"{path}, line {line}: {pair.generated} is already in line {earlier}")
    return pairs


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    found = [(name or "").strip() for name in columns]
    for name in found:
        if name not in COLUMNS:
            raise UserError(f"{path}: unknown column {name!r}{nearest(name, COLUMNS)}")
    if sorted(found) != sorted(COLUMNS):
        raise UserError(f"{path}: has the columns {','.join(found)}; expected {','.join(COLUMNS)}")


def _listed(place: str, row: dict[str, str], generated: Path, truth: Path) -> Pair:
    values = {(name or "").strip(): value for name, value in row.items()}
    if set(values) != set(COLUMNS) or not all(isinstance(value, str) and value.strip() for value in values.values()):
        raise UserError(f"{place}: expected two paths, one for each of {','.join(COLUMNS)}")
    paths = {name: base / values[name].strip() for name, base in zip(COLUMNS, (generated, truth), strict=True)}
    for name in COLUMNS:
        if not paths[name].is_file():
            raise UserError(f"{paths[name]}: no such file (column {name} of {place})")
    return Pair(Path(values["generated"].strip()).with_suffix("").as_posix(), paths["generated"], paths["truth"])


def match_layout(generated: Path, truth: Path, layout: Layout) -> Pairs:
    """Pairs of the same actor, emotion, level, view and number; the truth in MEAD's own layout or any copy of it."""
    for folder in (generated, truth):
        if not folder.is_dir():
            raise UserError(f"{folder}: is not a folder; a layout finds clips in folders")
    made, others = _outputs(generated, layout)
    true, nameless = _truths(truth)
    pairs = [_pair(clip, files, truth / true[clip], layout) for clip, files in sorted(made.items()) if clip in true]
    if not pairs:
        raise UserError(f"{generated}: {next(iter(made))}, ... are not among {next(iter(true))}, ... of {truth}")
    lone = [made[clip][0].relative_to(generated).as_posix() for clip in made if clip not in true]
    unused = [true[clip] for clip in true if clip not in made]
    return Pairs(pairs, sorted([*lone, *others]), sorted([*unused, *nameless]))


def _pair(clip: str, files: list[Path], truth: Path, layout: Layout) -> Pair:
    if not layout.of_stills:
        return Pair(clip, files[0], truth, layout)
    return Pair(clip, files[0].parent, truth, layout, _stills(files, layout))


def _outputs(generated: Path, layout: Layout) -> tuple[dict[str, list[Path]], list[str]]:
    """The files of each clip, and the videos that are none of the layout's."""
    made: dict[str, list[Path]] = {}
    others: list[str] = []
    for path in sorted(path for path in generated.rglob("*") if path.is_file() and not path.name.startswith(".")):
        relative = path.relative_to(generated).as_posix()
        if (parts := layout.match(relative)) is None:
            others.append(relative)
        else:
            made.setdefault(_clip(path, parts, layout), []).append(path)
    if not made:
        example = f"; {others[0]} does not match" if others else ""
        raise UserError(f"{generated}: has nothing of the form {layout.file} ({layout.id}){example}: {layout.rule}")
    for files in made.values():
        if len({path.parent if layout.of_stills else path for path in files}) > 1:
            raise UserError(f"{files[0]} and {files[-1]}: are the same clip twice")
    return made, _videos_among(generated, others)


def _videos_among(folder: Path, relative: list[str]) -> list[str]:
    try:
        return sorted(set(relative) & {path.as_posix() for path in videos(folder)})
    except UserError:
        return []


def _clip(path: Path, parts: re.Match[str], layout: Layout) -> str:
    name = layout.name(parts)
    if name is None:
        raise UserError(f"{path}: does not name a clip of MEAD by actor, emotion, level and number: {layout.rule}")
    return name.id


def _truths(truth: Path) -> tuple[dict[str, str], list[str]]:
    """True videos by clip, and those whose path names none."""
    true: dict[str, str] = {}
    nameless: list[str] = []
    for path in videos(truth):
        clip = next(_names(truth, path), None)
        if clip is None:
            nameless.append(path.as_posix())
        elif clip in true:
            raise UserError(f"{truth / path} and {truth / true[clip]}: are the same clip, {clip}; leave one out")
        else:
            true[clip] = path.as_posix()
    if not true:
        raise UserError(f"{truth / nameless[0]}: does not name a clip by actor, emotion, level and number as MEAD does")
    return true, nameless


def _names(truth: Path, path: Path) -> Iterator[str]:
    """By the path below the folder; else with the folder's own name before it, which may be the actor's."""
    stem = path.with_suffix("").as_posix()
    for spelled in (stem, f"{truth.resolve().name}/{stem}"):
        if (found := parse(spelled, {})) is not None:
            yield found[1].id


def _stills(files: list[Path], layout: Layout) -> tuple[Path, ...]:
    """The images of a clip by their numbers; one that is missing is an error, as all later ones would be late."""
    numbered = {int(parts["frame"]): path for path in files if (parts := layout.match(path.as_posix()))}
    first = min(numbered)
    for number in range(first, first + len(numbered)):
        if number not in numbered:
            raise UserError(f"{files[0].parent}: image {number} is missing between {first} and {max(numbered)}")
    return tuple(numbered[number] for number in sorted(numbered))
