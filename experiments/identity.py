"""What a run is: the hash of everything that can change its numbers, and the run id made from it."""

import contextlib
import dataclasses
import enum
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HASH_LENGTH = 8
"""Characters of the hash in a run id; the whole hash stands in the run's config.yaml and status."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> Any:
    """`value` as plain JSON data: dataclass fields that change numbers, whole floats as integers, keys sorted.

    A field's metadata may say `numbers=False`, or `numbers="unless default"`: such a field came later than runs that
    must keep their names, and counts only where it is set.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field for field in dataclasses.fields(value) if _counts(field, getattr(value, field.name))]
        return {field.name: canonical(getattr(value, field.name)) for field in sorted(fields, key=lambda f: f.name)}
    if isinstance(value, Mapping):
        return {str(key): canonical(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, enum.Enum):
        return canonical(value.value)
    return _scalar(value)


def hash_of(value: Any) -> str:
    """Hex SHA-256 of the canonical form of `value`."""
    return hashlib.sha256(_text(value).encode()).hexdigest()


class Written(str):
    """A value's canonical text, written beforehand: it is hashed as the value itself."""


def written(value: Any) -> Written:
    """The canonical text of what many runs share."""
    return Written(_text(value))


def stage_hash(stage: str, sections: Mapping[str, Any], parents: Mapping[str, str], store: str, seed: int) -> str:
    """Identity of one stage run: its own sections, its parents' hashes by role, the store's hash and the seed."""
    return _stage_hash(stage, tuple(sections.items()), tuple(parents.items()), store, seed)


@functools.lru_cache(maxsize=4096)
def _stage_hash(
    stage: str, sections: tuple[tuple[str, Any], ...], parents: tuple[tuple[str, str], ...], store: str, seed: int
) -> str:
    """Variants share most stages: each is hashed once."""
    return hash_of({"stage": stage, "sections": dict(sections), "parents": dict(parents), "store": store, "seed": seed})


def run_id(experiment: str, stage: str, variant: str, seed: int, digest: str) -> str:
    """`toy-eac.full.s0.1f2e3d4c`."""
    return f"{experiment}-{stage}.{variant}.s{seed}.{digest[:HASH_LENGTH]}"


@dataclasses.dataclass(frozen=True)
class RunName:
    """A run id taken apart."""

    experiment: str
    stage: str
    variant: str
    seed: int
    digest: str

    @classmethod
    def parse(cls, run: str) -> "RunName | None":
        """The parts of a run id; None when `run` is not one."""
        parts = run.rsplit(".", 3)
        if len(parts) != 4 or "-" not in parts[0] or not parts[2].removeprefix("s").isdecimal():
            return None
        experiment, _, stage = parts[0].rpartition("-")
        return cls(experiment, stage, parts[1], int(parts[2].removeprefix("s")), parts[3])


def _text(value: Any) -> str:
    """The canonical form as JSON without spaces."""
    if isinstance(value, str):
        return value if isinstance(value, Written) else _ENCODER.encode(value)
    if dataclasses.is_dataclass(value):
        with contextlib.suppress(TypeError):  # a field that cannot be hashed
            return _section_text(value)
    elif isinstance(value, dict | Mapping):
        by_name = {str(key): inner for key, inner in value.items()}
        return "{" + ",".join([f"{_ENCODER.encode(name)}:{_text(by_name[name])}" for name in sorted(by_name)]) + "}"
    return _ENCODER.encode(canonical(value))


@functools.lru_cache(maxsize=4096)
def _section_text(section: Any) -> str:
    """A config section's text, which thousands of runs share. Fields hold values of their own type: 1 is not True."""
    return _ENCODER.encode(canonical(section))


def _counts(field: dataclasses.Field[Any], value: Any) -> bool:
    numbers = field.metadata.get("numbers", True)
    return value != field.default if numbers == "unless default" else bool(numbers)


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no place in a configuration")
        return int(value) if value.is_integer() else value
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} cannot be hashed as configuration")
