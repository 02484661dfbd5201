"""A store's manifest: what makes a packed store complete, and its hash. Read without torch and without the arrays."""

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from conventions.errors import UserError

FORMAT = "emospace-store"
VERSION = 1
"""Raised whenever the meaning or the making of any stored value changes."""
MANIFEST = "manifest.json"


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the store at `path`; a `UserError` where there is none that this version can read."""
    file = path / MANIFEST
    if not file.is_file():
        hint = "preparation has not finished: run it again" if (path / ".parts").is_dir() else "no store is there"
        raise UserError(f"{path}: {hint} (emospace prepare RAW {path})")
    try:
        manifest = json.loads(file.read_text())
        kind, version = manifest["format"], manifest["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: is no manifest of a store: prepare the store again") from error
    if kind != FORMAT:
        raise UserError(f"{file}: is of format {kind!r}, not {FORMAT!r}")
    if version != VERSION:
        age = "older" if version < VERSION else "newer"
        raise UserError(
            f"{path}: store version {version} is {age} than the {VERSION} that this program reads: "
            f"prepare it again (emospace prepare RAW {path})"
        )
    return manifest


def content_hash(manifest: dict[str, Any]) -> str:
    """SHA-256 over all of a manifest that describes content: not where the clips came from, nor what was left out."""
    content = {key: manifest[key] for key in ("version", "size", "crop", "coefficient_model", "clips", "files")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def store_hash(path: Path | str) -> str:
    """The content hash of the store at `path`, read once for as long as its manifest is the same file."""
    file = Path(path) / MANIFEST
    try:
        found = os.stat(file)
    except OSError:
        return read_manifest(Path(path))["hash"]
    return _hash_of_file(Path(path), (found.st_ino, found.st_mtime_ns, found.st_size))


@functools.lru_cache(maxsize=64)
def _hash_of_file(path: Path, version: tuple[int, int, int]) -> str:
    return read_manifest(path)["hash"]
