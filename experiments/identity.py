"""What a run is: the hash of everything that can change its numbers, and the run id made from it."""

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HASH_LENGTH = 8
"""Characters of the hash in a run id; the whole hash stands in the run's config.yaml and status."""


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
    text = json.dumps(canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def stage_hash(stage: str, sections: Mapping[str, Any], parents: Mapping[str, str], store: str, seed: int) -> str:
    """Identity of one stage run: its own sections, its parents' hashes by role, the store's hash and the seed."""
    return hash_of({"stage": stage, "sections": sections, "parents": parents, "store": store, "seed": seed})


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
