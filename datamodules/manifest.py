"""A store's manifest: what makes a packed store complete, and its hash. Read without torch and without the arrays."""

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any, get_args

from conventions.emotions import StyleKind
from conventions.errors import UserError
from conventions.files import reason_of
from datamodules.speech_names import OWN_SPEECH, canonical

FORMAT = "emospace-store"
VERSION = 1
"""Raised whenever the meaning or the making of any stored value changes."""
MANIFEST = "manifest.json"


_FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("hash", "crop"), (str,)),
    **{"size": (int,), "coefficient_model": (str, type(None))},
    **{"clips": (list,), "left_out": (list,), "files": (dict,)},
}
_CLIP: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "actor", "view", "source"), (str,)),
    **{name: (str, type(None)) for name in ("emotion", "kind")},
    **dict.fromkeys(("number", "start", "length"), (int,)),
    **dict.fromkeys(("has_audio", "has_coefficients", "has_landmarks"), (bool,)),
    **{"level": (int, type(None)), "crop": (list,)},
}


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
        raise UserError(f"{file}: is no manifest of a store ({reason_of(error)}): prepare the store again") from error
    if kind != FORMAT:
        raise UserError(f"{file}: is of format {kind!r}, not {FORMAT!r}")
    if version != VERSION:
        age = "older" if isinstance(version, int) and version < VERSION else "newer"
        raise UserError(
            f"{path}: store version {version} is {age} than the {VERSION} that this program reads: "
            f"prepare it again (emospace prepare RAW {path})"
        )
    if not isinstance(manifest.get("hash"), str):
        raise UserError(f"{file}: is damaged (hash): prepare the store again")
    return manifest


def read_whole_manifest(path: Path) -> dict[str, Any]:
    """As `read_manifest`, with every entry of the content of its type."""
    manifest = read_manifest(path)
    if (wrong := _wrong(manifest)) is not None:
        raise UserError(f"{path / MANIFEST}: is damaged ({wrong}): prepare the store again")
    return manifest


def _wrong(manifest: dict[str, Any]) -> str | None:
    """The first entry that is missing or of another type; None for a sound manifest."""
    if (name := _misfit(manifest, _FIELDS)) is not None:
        return name
    row = 0
    for number, clip in enumerate(manifest["clips"]):
        name = "start" if isinstance(clip, dict) and clip.get("start") != row else _misfit(clip, _CLIP)
        if name is None and (clip.keys() != _CLIP.keys() or clip["length"] < 1 or not _sound(clip)):
            name = "its entries"
        if name is not None:
            return f"clip {number}: {name}"
        row += clip["length"]
    return _wrong_extra(manifest)


def _wrong_extra(manifest: dict[str, Any]) -> str | None:
    """The first entry about the sources, which are not content, that is of another type."""
    if any(_misfit(item, {"path": (str,), "reason": (str,), "detail": (str,)}) for item in manifest["left_out"]):
        return "left_out"
    if not all(isinstance(name, str) for name in manifest["files"].values()):
        return "files"
    for name, kind in (("sound_offsets", float | int), ("row_offsets", int), ("notes", list)):
        values = manifest.get(name, {})
        if not isinstance(values, dict) or not all(isinstance(value, kind) for value in values.values()):
            return name
    if not _speech_is_sound(manifest.get("speech", {})):
        return "speech"
    return None if isinstance(manifest.get("origin", {}), dict) else "origin"


def _speech_is_sound(features: Any) -> bool:
    """Whether the entries of further speech features are of their types."""
    return isinstance(features, dict) and all(
        _misfit(entry, {**dict.fromkeys(("file", "sha256", "digest"), (str,)), "shape": (list,)}) is None
        and all(type(size) is int for size in entry["shape"])
        for entry in features.values()
    )


def _misfit(values: Any, kinds: dict[str, tuple[type, ...]]) -> str | None:
    """The first name whose value is not of its type."""
    if not isinstance(values, dict):
        return "no mapping"
    return next((name for name, kind in kinds.items() if type(values.get(name, ...)) not in kind), None)


def _sound(clip: dict[str, Any]) -> bool:
    """Whether a clip's kind and crop are such."""
    is_window = len(clip["crop"]) == 3 and all(isinstance(value, int | float) for value in clip["crop"])
    return is_window and clip["kind"] in (None, *get_args(StyleKind))


def content_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 over all of a manifest that describes content: not where the clips came from, nor what was left out."""
    content = {key: manifest[key] for key in ("version", "size", "crop", "coefficient_model", "clips", "files")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def store_hash(path: Path | str) -> str:
    """The content hash of the store at `path`, read once for as long as its manifest is the same file."""
    return _hashes(Path(path))["hash"]


def speech_hash(path: Path | str, name: str) -> str:
    """The SHA-256 of a speech feature's rows in the store at `path`, by its name as in `data.speech`.

    Read as `store_hash` is; a `UserError` where the store does not hold the feature.
    """
    manifest = _hashes(Path(path))
    if name in OWN_SPEECH:
        return manifest["files"][f"{name}.npy"]
    return speech_entry(Path(path), manifest, name)["sha256"]


def speech_entry(path: Path, manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """File name, SHA-256, shape and digest of weights of a speech feature that was added to a store.

    A `UserError` with the command that adds the feature where the store does not hold it.
    """
    name, features = canonical(name), manifest.get("speech", {})
    if name not in features:
        raise UserError(
            f"{path}: holds no speech feature {name!r}, but {', '.join(sorted({*OWN_SPEECH, *features}))}; "
            f"`emospace store {path} --add-speech {name}` adds it"
        )
    return features[name]


def _hashes(path: Path) -> dict[str, Any]:
    """The entries of a manifest that hold hashes."""
    try:
        found = os.stat(path / MANIFEST)
    except OSError:
        return read_manifest(path)
    return _hashes_of_file(path, (found.st_ino, found.st_mtime_ns, found.st_size))


@functools.lru_cache(maxsize=64)
def _hashes_of_file(path: Path, version: tuple[int, int, int]) -> dict[str, Any]:
    manifest = read_manifest(path)
    if not isinstance(manifest.get("files"), dict):
        raise UserError(f"{path / MANIFEST}: is damaged (files): prepare the store again")
    return {key: manifest[key] for key in ("hash", "files", "speech") if key in manifest}
