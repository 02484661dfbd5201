"""A store of version 1 (one file for each array, a JSON record for each clip) becomes one of this version, in place."""

import functools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from conventions.errors import UserError
from conventions.files import atomic_file, reason_of, sha256_of, space_on
from conventions.rates import MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS
from datamodules.arrays import ARRAYS, FRAME_ENDS, FRAMES
from datamodules.audio import MFCC_MARGIN
from datamodules.locks import locked
from datamodules.manifest import MANIFEST
from datamodules.packing import finish
from datamodules.parts import PICTURES, SIZES, Part, digest
from datamodules.shards import Shard, Source, group_of, write_header, write_shard
from datamodules.store import Store


def upgrade(path: Path) -> Store:
    """Rewrite the store at `path`; one of this version is left alone. Killed at any moment, it is one or the other.

    No value changes but the hash, which is of another layout: runs on the store are runs on another store.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text("utf-8"))
        if manifest["version"] != 1:
            return Store(path)
        old = _Version1(path, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: holds no store that can be read ({reason_of(error)})") from error
    with space_on(path), locked(path):
        shards = [
            write_shard(path, group, manifest["size"], sources) for group, sources in sorted(old.groups().items())
        ]
        speech = {name: old.speech(entry, shards) for name, entry in manifest.get("speech", {}).items()}
        extra = {"styles": manifest.get("styles", {}), "speech": speech, "origin": _origin(manifest)}
        finish(path, shards, manifest["size"], manifest["left_out"], extra)
        for name in [*manifest["files"], *(entry["file"] for entry in manifest.get("speech", {}).values())]:
            (path / name).unlink(missing_ok=True)
    return Store(path)


def _origin(manifest: dict[str, Any]) -> dict[str, Any]:
    """What the store was made of, as `prepare` compares it."""
    old = manifest.get("origin", {})
    origin = {"digest": digest([old.get("keys", {}), old.get("not_clips", [])])}
    return origin | {"deep3d": old["deep3d"]} if "deep3d" in old else origin


class _Version1:
    """The content of a store of version 1."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self._path, self._manifest = path, manifest
        self._rows = {name: np.load(path / f"{name}.npy", "r", allow_pickle=False) for name in (*ARRAYS, FRAME_ENDS)}
        self._places = {clip["id"]: slice(clip["start"], clip["start"] + clip["length"]) for clip in manifest["clips"]}

    def groups(self) -> dict[str, list[Source]]:
        """The clips by shard."""
        groups: dict[str, list[Source]] = defaultdict(list)
        for clip in self._manifest["clips"]:
            source = self._known(clip), functools.partial(self._part, clip)
            groups[group_of(clip["actor"], clip["source"])].append(source)
        return groups

    def _known(self, clip: dict[str, Any]) -> dict[str, Any]:
        name, manifest = clip["id"], self._manifest
        known = {key: value for key, value in clip.items() if key != "start"}
        known |= {"key": manifest.get("origin", {}).get("keys", {}).get(name)}
        known |= {"model": manifest["coefficient_model"] if clip["has_coefficients"] else None}
        known |= {key: manifest.get(f"{key}s", {}).get(name) for key in ("sound_offset", "row_offset")}
        return known | {"notes": manifest.get("notes", {}).get(name, [])}

    def _part(self, clip: dict[str, Any]) -> Part:
        rows = self._places[clip["id"]]
        arrays = {name: np.array(self._rows[name][rows]) for name in ARRAYS}
        arrays["mfcc"] = _steps(arrays["mfcc"])
        ends = np.array(self._rows[FRAME_ENDS][rows])
        begin = int(self._rows[FRAME_ENDS][rows.start - 1]) if rows.start else 0
        pictures = np.fromfile(self._path / FRAMES, np.uint8, int(ends[-1]) - begin, offset=begin)
        return Part({}, {**arrays, PICTURES: pictures, SIZES: np.diff(ends, prepend=begin)})

    def speech(self, entry: dict[str, Any], shards: list[Shard]) -> dict[str, Any]:
        """Write a further speech feature beside the other arrays of each shard; its entry in the manifest."""
        rows = np.load(self._path / entry["file"], "r", allow_pickle=False)
        digests = {}
        for shard in shards:
            file = shard.path / entry["file"]
            with atomic_file(file) as out:
                write_header(out, np.float32, (shard.frames, *entry["shape"]))
                for clip in shard.clips:
                    out.write(np.ascontiguousarray(rows[self._places[clip["id"]]]).tobytes())
            digests[shard.path.name] = sha256_of(file)
        return {"file": entry["file"], "shape": entry["shape"], "digest": entry["digest"], "shards": digests}


def _steps(windows: np.ndarray) -> np.ndarray:
    """The steps of which MFCC windows [t, 28, 13] are views."""
    before = MFCC_MARGIN * MEL_STEPS_PER_FRAME
    steps = [windows[0, :before], windows[:, before:-before].reshape(-1, MFCC_COEFFICIENTS), windows[-1, -before:]]
    return np.concatenate(steps).reshape(-1, MEL_STEPS_PER_FRAME, MFCC_COEFFICIENTS)
