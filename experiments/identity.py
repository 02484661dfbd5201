"""What a run is: the hash of everything that can change its numbers, and the run id made from it."""

import dataclasses
import enum
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.files import sha256_of

HASH_LENGTH = 8
"""Characters of the hash in a run id; the whole hash stands in the run's status.json."""


_PLAIN = {str, bool, int, type(None)}


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Names of a dataclass's fields that change numbers, sorted, each with the value at which it is left out."""
    fields = sorted(dataclasses.fields(kind), key=lambda one: one.name)
    kinds = [(one, one.metadata.get("numbers", True)) for one in fields]
    return tuple(
        (one.name, one.default if kind == "if changed" else dataclasses.MISSING) for one, kind in kinds if kind
    )


def canonical(value: Any) -> Any:
    """`value` as plain JSON data: dataclass fields that change numbers, whole floats as integers, keys sorted.

    A field whose metadata has `numbers=False` is left out, and at its default one with `numbers="if changed"`: a switch
    that came later, so that runs of before keep their identity.
    """
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = [(name, getattr(value, name), default) for name, default in _fields(type(value))]
        return {name: canonical(own) for name, own, default in given if own != default}
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, enum.Enum):
        return canonical(value.value)
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not allowed in a configuration")
        return int(value) if value.is_integer() else value
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} cannot be hashed as configuration")


def hash_of(value: Any) -> str:
    """Hex SHA-256 of the canonical form of `value`."""
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def run_id(stage: str, seed: int, digest: str) -> str:
    """`eac.s0.1f2e3d4c`: the same for every experiment and variant that needs this run."""
    return f"{stage}.s{seed}.{digest[:HASH_LENGTH]}"


def digest_of(path: Path, key: str) -> str:
    """SHA-256 of a file, or of a folder's names and contents; UserError naming the config `key` where it is absent."""
    try:
        return _digest(path, _changed(path))
    except OSError as error:
        raise UserError(f"{key}: {path}: cannot be read ({error.strerror or error})") from error


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _changed(path: Path) -> tuple[tuple[int, int], ...]:
    """Time and size of each file: another file is another question."""
    found = [file.stat() for file in _files(path)]
    return tuple((one.st_mtime_ns, one.st_size) for one in found)


@functools.lru_cache(maxsize=256)
def _digest(path: Path, changed: tuple[tuple[int, int], ...]) -> str:
    if path.is_file():
        return sha256_of(path)
    listed = "".join(f"{sha256_of(file)}  {file.relative_to(path).as_posix()}\n" for file in _files(path))
    return hashlib.sha256(listed.encode("utf-8", "surrogateescape")).hexdigest()
