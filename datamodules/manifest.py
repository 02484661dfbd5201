"""A store's manifest: what makes it complete, and its hash. It is small for any number of clips; read without torch."""

import functools
import json
import os
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import reason_of
from datamodules.config import OWN_SPEECH, canonical
from datamodules.parts import digest

FORMAT = "emospace-store"
VERSION = 2
"""Raised whenever the layout of a store or the meaning of a stored value changes."""
MAKING = 2
"""Raised whenever the making of a stored value changes: clips of another one are prepared again."""
MANIFEST = "manifest.json"

_FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("hash", "crop", "index", "report"), (str,)),
    **{"size": (int,), "coefficient_model": (str, type(None)), "clips": (int,), "frames": (int,), "shards": (dict,)},
}
_SHARD: dict[str, tuple[type, ...]] = {"hash": (str,), "clips": (int,), "frames": (int,), "exact": (bool,)}
_SPEECH: dict[str, tuple[type, ...]] = {"file": (str,), "digest": (str,), "shape": (list,), "shards": (dict,)}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the store at `path`; a `UserError` where there is none that this version can read."""
    file = path / MANIFEST
    if not file.is_file():
        hint = "preparation has not finished: run it again" if (path / ".parts").is_dir() else "no store is there"
        raise UserError(f"{path}: {hint} (emospace prepare RAW {path})")
    try:
        manifest = json.loads(file.read_text("utf-8"))
        kind, version = manifest["format"], manifest["version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{file}: is not the manifest of a store ({reason_of(error)}): prepare the store again"
        ) from error
    if kind != FORMAT:
        raise UserError(f"{file}: is of format {kind!r}, not {FORMAT!r}")
    if version != VERSION:
        age = "older" if isinstance(version, int) and version < VERSION else "newer"
        advice = f"`emospace store {path} --upgrade` rewrites it" if version == 1 else "prepare it again"
        raise UserError(
            f"{path}: store version {version} is {age} than the {VERSION} that this program reads: {advice}"
        )
    if not isinstance(manifest.get("hash"), str):
        raise UserError(f"{file}: is damaged (hash): prepare the store again")
    return manifest


def read_whole_manifest(path: Path) -> dict[str, Any]:
    """As `read_manifest`, with every entry of its type."""
    manifest = read_manifest(path)
    if (wrong := _wrong(manifest)) is not None:
        raise UserError(f"{path / MANIFEST}: is damaged ({wrong}): prepare the store again")
    return manifest


def _wrong(manifest: dict[str, Any]) -> str | None:
    """The first entry that is missing or of another type; None for an audio manifest."""
    if (name := _misfit(manifest, _FIELDS)) is not None:
        return name
    shards = manifest["shards"].values()
    if any(_misfit(shard, _SHARD) for shard in shards):
        return "shards"
    for name in ("clips", "frames"):
        if manifest[name] != sum(shard[name] for shard in shards) or any(shard[name] < 1 for shard in shards):
            return name
    if any(os.path.basename(name) != name for name in (manifest["index"], manifest["report"], *manifest["shards"])):
        return "a name that leads elsewhere"
    if not _speech_is_sound(manifest.get("speech", {})):
        return "speech"
    return None if isinstance(manifest.get("origin", {}), dict) else "origin"


def _speech_is_sound(features: Any) -> bool:
    """Whether the entries of further speech features are of their types."""
    return isinstance(features, dict) and all(
        _misfit(entry, _SPEECH) is None
        and all(type(size) is int for size in entry["shape"])
        and all(isinstance(digest, str) for digest in entry["shards"].values())
        for entry in features.values()
    )


def _misfit(values: Any, kinds: dict[str, tuple[type, ...]]) -> str | None:
    """The first name whose value is not of its type."""
    if not isinstance(values, dict):
        return "no mapping"
    return next((name for name, kind in kinds.items() if type(values.get(name, ...)) not in kind), None)


def content_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 over all of a manifest that describes content: not where the clips came from, nor what was left out."""
    content = {key: manifest[key] for key in ("version", "size", "crop", "coefficient_model")}
    return digest([content, [shard["hash"] for shard in manifest["shards"].values()]])


def store_hash(path: Path | str) -> str:
    """The content hash of the store at `path`, read once for as long as its manifest is the same file."""
    return _cached(Path(path))["hash"]


def speech_hash(path: Path | str, name: str) -> str:
    """SHA-256 of a speech feature's rows in the store at `path`, by its name as in `data.speech`.

    Read as `store_hash` is; a `UserError` where the store does not hold the feature.
    """
    manifest = _cached(Path(path))
    if name in OWN_SPEECH:
        return digest([manifest["hash"], name])
    return digest(list(speech_entry(Path(path), manifest, name)["shards"].items()))


def speech_entry(path: Path, manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """File name, shape, digest of weights, and SHA-256 by shard, of a speech feature that was added to a store.

    A `UserError` with the command that adds the feature where the store does not hold it for all of its clips.
    """
    name, features = canonical(name), manifest.get("speech", {})
    adds = f"`emospace store {path} --add-speech {name}` adds it"
    if name not in features:
        held = ", ".join(sorted({*OWN_SPEECH, *features}))
        raise UserError(f"{path}: has no speech feature {name!r}, but {held}; {adds}")
    if features[name]["shards"].keys() != manifest["shards"].keys():
        raise UserError(f"{path}: has the speech feature {name!r} for some clips only; {adds} for the others")
    return features[name]


def _cached(path: Path) -> dict[str, Any]:
    """The manifest, read once for as long as it is the same file."""
    try:
        found = os.stat(path / MANIFEST)
    except OSError:
        return read_manifest(path)
    return _of_file(path, (found.st_ino, found.st_mtime_ns, found.st_size))


@functools.lru_cache(maxsize=64)
def _of_file(path: Path, version: tuple[int, int, int]) -> dict[str, Any]:
    return read_manifest(path)
