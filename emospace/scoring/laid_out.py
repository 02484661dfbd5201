"""Which generated video belongs to which true one where the method's output is laid out as its repository does it."""

import re
from collections.abc import Iterator
from pathlib import Path

from ablations.methods import Layout
from conventions.errors import UserError
from datamodules.naming import parse
from emospace.scoring.pairs import Pair, Pairs, videos


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
