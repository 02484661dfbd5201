"""Writing a toy world: MEAD's own folders and formats, made from one seed. Resumable; the same bytes every time.

<ID>/video/front/<emotion>/level_<k>/<NNN>.mp4   25 fps H.264, square, with <NNN>.mat (coefficients) beside it,
                                                 as a tracker would measure them (`coeff`) and as they are (`exact`)
<ID>/audio/<emotion>/level_<k>/<NNN>.m4a         48 kHz AAC stereo
styles.json       the compound and new styles, which are extra emotion folders at level_2
portraits/        images of people who are in no clip
web/<role>/       captioned images (`pairs.PairSet`)
toy.json          the manifest, written last
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from conventions.errors import UserError
from conventions.files import write_json, write_text
from toyworld.emotions import styles_json
from toyworld.jobs import ClipJob, Job, PairsJob, PortraitJob, run_jobs
from toyworld.pairs import Role, is_joined, join_parts, num_parts
from toyworld.plan import PORTRAIT_NAMES, PRESETS, VERSION, actors_of, clips_of

MANIFEST = "toy.json"
PLAN = ".toy-plan.json"
ROLES: tuple[Role, ...] = ("prior", "judge", "critic")

README = """This folder holds a SYNTHETIC data set, written by `emospace toy`. It is not MEAD and shows no real person.

Faces are renders of a procedural head, voices are espeak-ng, emotions are published action-unit patterns.
The layout is MEAD's, so that the same programs read both; see toy.json for the seed and the preset.
"""


class OtherContent(UserError):
    """The folder of a toy world holds something else."""


def _jobs(seed: int, preset: str, size: int) -> list[Job]:
    numbers = PRESETS[preset]
    clips: list[Job] = [ClipJob(clip, seed, size) for clip in clips_of(preset, seed)]
    portraits: list[Job] = [PortraitJob(name, seed) for name in PORTRAIT_NAMES[: numbers.portraits]]
    parts: list[Job] = [
        PairsJob(role, part, numbers.people[role], seed)
        for role in ROLES
        for part in range(num_parts(numbers.people[role]))
    ]
    return clips + portraits + parts


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON; remove the folder and write the toy world again") from error


def _claim(root: Path, settings: dict[str, Any]) -> None:
    """Mark `root` as a world of these settings; refuse a folder that holds something else."""
    for name in (MANIFEST, PLAN):
        if (root / name).is_file():
            there = _read(root / name)
            wrong = [
                f"{key} {there.get(key)}, not {value}" for key, value in settings.items() if there.get(key) != value
            ]
            if wrong:
                raise OtherContent(f"{root}: contains another toy world ({'; '.join(wrong)}); choose an empty folder")
            return
    if root.exists() and any(root.iterdir()):
        raise OtherContent(f"{root}: is not empty and contains no toy world; choose an empty folder")
    write_json(root / PLAN, settings)


def _clear_leavings(root: Path) -> None:
    """Remove half-written files of a run that was killed; finished files never have such names."""
    for path in root.rglob(".*.partial*"):
        path.unlink()


def _manifest(settings: dict[str, Any]) -> dict[str, Any]:
    seed, preset = settings["seed"], settings["preset"]
    clips = clips_of(preset, seed)
    texts = {str(clip.video): clip.text for clip in clips}
    numbers = {key: value for key, value in asdict(PRESETS[preset]).items() if key in ("people", "portraits")}
    return {**settings, "synthetic": True, "actors": actors_of(preset), "clips": len(clips), **numbers, "texts": texts}


def write_world(
    root: Path,
    *,
    seed: int = 0,
    preset: Literal["default", "small", "tiny"] = "default",
    size: int | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write a toy world with square videos of `size` pixels (None: the preset's); a complete one is left alone.

    Returns the manifest.

    Killed at any moment, the next call finishes what is missing. `progress(done, total)`
    counts clips and images.
    """
    if preset not in PRESETS:
        raise UserError(f"preset: {preset!r} is unknown; valid: {', '.join(PRESETS)}")
    size = PRESETS[preset].video_size if size is None else size
    if size < 32 or size % 2:
        raise UserError(f"size: {size} is not valid; an even number of at least 32 pixels is needed")
    settings = {"format": VERSION, "seed": seed, "preset": preset, "size": size}
    try:
        _claim(root, settings)
        if not (root / MANIFEST).is_file():
            _write(root, settings, workers, progress or (lambda done, total: None))
    except OSError as error:
        raise UserError(f"{root}: cannot be written ({error.strerror or error})") from error
    return _read(root / MANIFEST)


def _write(root: Path, settings: dict[str, Any], workers: int, progress: Callable[[int, int], None]) -> None:
    _clear_leavings(root)
    jobs = _jobs(settings["seed"], settings["preset"], settings["size"])
    missing = [job for job in jobs if not job.is_done(root)]
    done = len(jobs) - len(missing)
    progress(done, len(jobs))
    for more in run_jobs(missing, root, workers):
        done += more
        progress(done, len(jobs))
    for role in ROLES:
        if not is_joined(root, role):
            join_parts(root, role, PRESETS[settings["preset"]].people[role])
    write_text(root / "README.txt", README)
    write_json(root / "styles.json", styles_json())
    write_json(root / MANIFEST, _manifest(settings))
    (root / PLAN).unlink()
