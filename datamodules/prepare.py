"""Preparation: a folder of raw clips becomes a packed store. Resumable, idempotent, the same bytes for any workers."""

import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from conventions.errors import MediaWarning, RejectedClip, UserError
from conventions.files import sha256_of, space_on, write_text
from conventions.weights import LANDMARKER
from datamodules.catalogue import ClipRecord, LeftOut, catalogue, read_styles
from datamodules.clip_face import Settings, open_model, release
from datamodules.clip_part import picture_part, prepare_clip, sound_part
from datamodules.coefficients import FIT_MODEL
from datamodules.crop import CROP
from datamodules.deep3d import Checkpoint, find_checkpoint, identify, open_network
from datamodules.locks import locked
from datamodules.manifest import MAKING, MANIFEST
from datamodules.naming import AUTO
from datamodules.packing import finish
from datamodules.parts import PARTS, Part, digest, read_meta, read_part, write_part
from datamodules.pool import TASK_LIMIT_S, described, run_tasks
from datamodules.prepare_report import Clock, Done, PrepareReport, Spent, suffixes
from datamodules.records import FAILURES
from datamodules.shards import SHARDS, Shard, Source, finished_shards, group_of, write_shard
from datamodules.splits import ROLES, SPLIT
from datamodules.store import Store

Mode = Literal["auto", "mat", "landmarks", "deep3d", "none"]
LARGEST_SIZE = 4096
"""Side of stored images in pixels."""

Progress = Callable[[Done], None]
"""Called after each clip."""


@dataclass(frozen=True)
class _Job:
    """Everything that a preparation is about, fixed before the work begins."""

    raw: Path
    store: Path
    settings: Settings
    records: dict[str, ClipRecord]
    left_out: list[LeftOut]
    unhandled: dict[str, int]
    keys: dict[str, str]
    """Of each clip, a digest of its files' sizes and times and of the settings: the name of its part."""

    def part(self, identifier: str) -> Path:
        return self.store / PARTS / f"{self.keys[identifier]}.npz"


def prepare(
    raw: Path,
    store: Path,
    *,
    coefficients: Mode = "auto",
    size: int = 256,
    workers: int = 0,
    limit_s: float = TASK_LIMIT_S,
    again: bool = False,
    weights: Path | None = None,
    deep3d: Path | None = None,
    face_model: Path | None = None,
    look: bool = True,
    progress: Progress | None = None,
    max_bad_share: float = 0.5,
    naming: str = AUTO,
    labels: Path | None = None,
) -> PrepareReport:
    """Prepare a folder of raw clips into a packed store.

    Interrupted at any moment, the next call does the rest; once finished, a further call does nothing.

    Args:
        raw: folder of the raw clips.
        store: folder of the store.
        coefficients: source of the 3DMM vectors. "mat": the `.mat` beside each clip; "landmarks": a face model fitted
            to MediaPipe's landmarks; "deep3d": Deep3DFaceRecon's network; "none": there are none; "auto": "mat" where
            any clip has a `.mat`, else "landmarks".
        size: side of the stored images in pixels: even, 16 to 4096.
        workers: processes that prepare clips; a crash or a timeout leaves out one clip. 0: this process does the work,
            without that protection.
        limit_s: most seconds for a clip.
        again: retry the clips that were left out after a crash or a timeout.
        weights: folder or file of the face landmarker.
        deep3d: checkpoint of Deep3DFaceRecon, or a folder that holds it; by default looked for in `weights`.
        face_model: file of ICT-FaceKit (`.npz`, or its folder) or BFM (`.mat`) to fit instead of the procedural head.
        look: whether the face landmarker is used at all; toy clips have landmarks in their `.mat`.
        progress: called after each clip.
        max_bad_share: largest acceptable share of clips that cannot be used.
        naming: scheme of the clips' paths (see `catalogue`).
        labels: map of labels (see `catalogue`). Where a manifest names roles, the store receives a `split.yaml`.

    Returns:
        Clips, frames, files left out with reasons, and times.

    Raises:
        UserError: a folder or an argument cannot be used, or too many clips cannot.
    """
    spent = Spent()
    _check_folders(raw, store)
    with space_on(store):
        job = _plan(raw, store, coefficients, size, weights, deep3d, face_model, look, naming, labels)
        done = _finished(job, again)
        if done is not None and not (store / PARTS).exists():  # it may be on a disk that cannot be written
            return _report(job, done, 0, spent)
        store.mkdir(parents=True, exist_ok=True)
        with locked(store):
            if (done := _finished(job, again)) is not None:
                return _report(job, done, 0, spent)
            _check_not_merged(store)
            held = {key: source for shard in finished_shards(store) for key, source in _sources(shard)}
            missing = (name for name in job.records if job.keys[name] not in held)
            todo = [name for name in missing if _missing(job.part(name), again)]
            _work(job, todo, workers, limit_s, spent, progress)
            with spent.clock("pack"):
                _write_split(job)
                manifest = _pack(job, held, max_bad_share)
    return _report(job, manifest, len(todo), spent)


def _check_folders(raw: Path, store: Path) -> None:
    if not os.path.isdir(raw):
        raise UserError(f"{raw}: no such folder of raw clips")
    if os.path.lexists(store) and not os.path.isdir(store):
        raise UserError(f"{store}: is a file; give a folder for the store")
    ours = (MANIFEST, PARTS, SHARDS)
    if store.is_dir() and any(store.iterdir()) and not any((store / name).exists() for name in ours):
        raise UserError(f"{store}: is neither empty nor a store; give a folder of its own")


def _check_not_merged(store: Path) -> None:
    """A store that was combined has clips of other folders, which a preparation would remove."""
    try:
        merged = "merged" in Store(store).manifest.get("origin", {})
    except UserError:
        return
    if merged:
        raise UserError(f"{store}: was merged from other stores; prepare into another folder and merge again")


def _plan(
    raw: Path,
    store: Path,
    mode: Mode,
    size: int,
    weights: Path | None,
    deep3d: Path | None,
    face_model: Path | None,
    look: bool,
    naming: str,
    labels: Path | None,
) -> _Job:
    if not 16 <= size <= LARGEST_SIZE or size % 2:
        raise UserError(f"size {size}: must be even, from 16 to {LARGEST_SIZE}")
    records, left_out, unhandled = catalogue(raw, naming, labels)
    if not records:
        others = f", and nothing reads {suffixes(unhandled)}" if unhandled else ""
        raise UserError(f"{raw}: contains no clip whose name can be read; {len(left_out)} files left out{others}")
    if all(record.medium != "film" for record in records):
        mode, look = "none", False
    if mode == "auto":
        mode = "mat" if any(record.coefficients for record in records) else "landmarks"
    landmarker = _landmarker(mode, weights) if look else None
    fitted = _fitted(mode, face_model)
    settings = Settings(mode, size, landmarker, *fitted, deep3d=_network(mode, deep3d, weights))
    known = _known(settings)
    keys = {record.id: digest([known, CROP, _files_of(record, raw)]) for record in records}
    return _Job(raw, store, settings, {record.id: record for record in records}, left_out, unhandled, keys)


def _landmarker(mode: Mode, weights: Path | None) -> Path | None:
    """The face landmarker's file: needed unless coefficients are given, used where it is there."""
    try:
        return LANDMARKER.find(weights)
    except UserError:
        if mode != "mat" or weights is not None:
            raise
        return None


def _network(mode: Mode, given: Path | None, weights: Path | None) -> Checkpoint | None:
    """Deep3DFaceRecon's checkpoint where the mode asks for it, opened once so that a wrong file is reported at once."""
    if mode != "deep3d":
        if given is not None:
            raise UserError(f"--deep3d {given}: is used with --coefficients deep3d only, not with {mode}")
        return None
    checkpoint = identify(find_checkpoint(given, weights))
    open_network(checkpoint)
    return checkpoint


def _fitted(mode: Mode, given: Path | None) -> tuple[str, Path | None]:
    """Name and file of the model that is fitted to landmarks, read once so that a wrong file is reported at once."""
    if given is None:
        return FIT_MODEL, None
    if mode != "landmarks":
        raise UserError(f"--face-model {given}: is fitted with --coefficients landmarks only, not with {mode}")
    if not given.exists():
        raise UserError(f"--face-model {given}: no such file")
    name = "bfm09" if given.suffix == ".mat" else "ict"
    open_model(name, given)
    return name, given


def _content(path: Path) -> str:
    """SHA-256 of a file, or of the files of a folder."""
    return sha256_of(path) if path.is_file() else digest([sha256_of(file) for file in sorted(path.glob("*.*"))])


def _known(settings: Settings) -> dict[str, Any]:
    """What of the settings decides the content of parts: networks count by their bytes."""
    known = asdict(settings) | {"weights": settings.weights and sha256_of(settings.weights), "version": MAKING}
    del known["deep3d"], known["fit_file"]
    if settings.fit_file is not None:
        known["face_model"] = _content(settings.fit_file)
    return known if settings.deep3d is None else known | {"deep3d": settings.deep3d.sha256}


def _files_of(record: ClipRecord, raw: Path) -> list[Any]:
    """Labels, and name, size and time of each file of a clip."""
    files = [path for path in (record.video, record.audio, record.coefficients) if path is not None]
    stats = [(str(path.relative_to(raw)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    labels = [record.id, record.actor, record.emotion, record.level, record.kind, record.source, stats]
    return labels if record.span is None else [*labels, *map(str, record.span)]


def _origin(job: _Job) -> dict[str, Any]:
    """What a store was made of: a digest of the clips' keys and of the files left out, and the network's SHA-256."""
    origin = {"digest": digest([job.keys, [_as_json(job, item) for item in job.left_out]])}
    network = job.settings.deep3d
    return origin if network is None else origin | {"deep3d": network.sha256}


def _finished(job: _Job, again: bool) -> Store | None:
    """The store where it already holds exactly this job's clips, with none to be tried again, or None."""
    try:
        store = Store(job.store)
    except UserError:
        return None
    doubtful = again and any(item["reason"] in FAILURES for item in store.left_out)
    return store if store.manifest.get("origin") == _origin(job) and not doubtful else None


def _missing(part: Path, again: bool) -> bool:
    meta = read_meta(part)
    return meta is None or (again and meta.get("reason") in FAILURES)


def _sources(shard: Shard) -> Iterator[tuple[str, Source]]:
    """The clips of a finished shard by the key of what each was made of."""
    return ((item["key"], shard.source(number)) for number, item in enumerate(shard.origin))


def _make_part(task: tuple[ClipRecord, Settings, Path]) -> dict[str, float]:
    """Prepare one clip and write its part, or the reason why there is none; seconds by stage."""
    record, settings, path = task
    clock = Clock()
    with space_on(path.parent.parent):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", MediaWarning)
            part = _part(record, settings, clock)
        for warning in caught:
            if not issubclass(warning.category, MediaWarning):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        notes = [str(warning.message) for warning in caught if issubclass(warning.category, MediaWarning)]
        part.meta["notes"] = list(dict.fromkeys(notes))
        with clock("write"):
            write_part(path, part)
    return clock.seconds


def _part(record: ClipRecord, settings: Settings, clock: Clock) -> Part:
    """A clip's part, or the reason why it has none: an unforeseen failure of one clip stops no other."""
    try:
        if record.medium == "film":
            return prepare_clip(record, settings, clock)
        return sound_part(record) if record.medium == "sound" else picture_part(record, settings.size)
    except RejectedClip as error:
        return Part({"reason": error.reason, "detail": str(error)})
    except UserError:
        raise
    except Exception as error:
        return Part({"reason": "failed", "detail": f"{record.video}: {described(error)}"})


def _work(job: _Job, todo: list[str], workers: int, limit_s: float, spent: Spent, progress: Progress | None) -> None:
    """Prepare the missing parts."""
    tasks = [(job.records[name], job.settings, job.part(name)) for name in todo]
    try:
        frames = 0
        for done, outcome in enumerate(run_tasks(_make_part, tasks, workers, limit_s), 1):
            record, _, path = tasks[outcome.index]
            if outcome.failure is not None:
                write_part(path, Part({"reason": outcome.failure, "detail": str(record.video)}))
            else:
                spent.clock.add(outcome.value)
            if progress is not None:
                frames += (read_meta(path) or {}).get("length", 0)
                progress(Done(done, len(tasks), frames, spent.elapsed, dict(spent.clock.seconds)))
    finally:
        release()


def _pack(job: _Job, held: Mapping[str, Source], max_bad_share: float) -> Store:
    """Write the shards that are not there yet, and the store of all of them."""
    sources = {name: held.get(job.keys[name]) or _part_source(job, name) for name in job.records}
    bad = [
        LeftOut(job.records[name].video, known["reason"], known["detail"], name)
        for name, (known, _) in sources.items()
        if "reason" in known
    ]
    _check_share(job, bad, max_bad_share)
    groups: dict[str, list[str]] = {}
    for name, record in job.records.items():
        if "reason" not in sources[name][0]:
            groups.setdefault(group_of(record.actor, record.source), []).append(name)
    there = {(shard.group, tuple(item["key"] for item in shard.origin)): shard for shard in finished_shards(job.store)}
    shards = []
    for group, names in sorted(groups.items()):
        keys = tuple(job.keys[name] for name in names)
        shard = there.get((group, keys))
        shards.append(shard or write_shard(job.store, group, job.settings.size, [sources[name] for name in names]))
        for name in names:
            job.part(name).unlink(missing_ok=True)
    left_out = [_as_json(job, item) for item in sorted([*job.left_out, *bad], key=lambda item: str(item.path))]
    extra = {"styles": read_styles(job.raw), "origin": _origin(job)}
    finish(job.store, shards, job.settings.size, left_out, extra)
    return Store(job.store)


def _part_source(job: _Job, name: str) -> Source:
    """A prepared clip; its notes do not name the folder of raw clips."""
    path = job.part(name)
    known = read_meta(path) or {}
    notes = [_relative(job, line) for line in known.get("notes", [])]
    return {**known, "notes": notes, "key": job.keys[name]}, functools.partial(read_part, path)


def _write_split(job: _Job) -> None:
    """The roles that a manifest names, as `split.yaml` in the store; none where it names none."""
    actors = {role: sorted({r.actor for r in job.records.values() if r.split == role}) for role in ROLES}
    named = {role: names for role, names in actors.items() if names}
    if named:
        text = yaml.safe_dump({"name": "manifest", **named}, sort_keys=False, allow_unicode=True)
        write_text(job.store / SPLIT, text)


def _check_share(job: _Job, bad: list[LeftOut], max_bad_share: float) -> None:
    share = len(bad) / len(job.records)
    if share > max_bad_share or len(bad) == len(job.records):
        reasons = ", ".join(f"{reason} {count}" for reason, count in Counter(item.reason for item in bad).items())
        raise UserError(
            f"{job.raw}: {len(bad)} of {len(job.records)} clips cannot be used ({reasons}); for example {bad[0].detail}"
        )


def _as_json(job: _Job, item: LeftOut) -> dict[str, str]:
    """A file left out, with paths relative to the raw folder."""
    path = str(item.path.relative_to(job.raw))
    return {"path": path, "reason": item.reason, "detail": _relative(job, item.detail)}


def _relative(job: _Job, line: str) -> str:
    return line.replace(f"{job.raw}/", "")


def _report(job: _Job, store: Store, prepared: int, spent: Spent) -> PrepareReport:
    return PrepareReport(
        store=str(job.store),
        clips=len(store.clips),
        frames=store.num_frames,
        left_out=dict(sorted(Counter(item["reason"] for item in store.left_out).items())),
        details=store.left_out,
        notes=store.notes,
        unhandled=job.unhandled,
        coefficient_model=store.coefficient_model,
        hash=store.hash,
        prepared=prepared,
        **spent.so_far(),
    )
