"""Parts: one file for each prepared clip, whole or absent, from which shards are written."""

import hashlib
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from conventions.files import atomic_file

PARTS = ".parts"
"""Folder of the parts inside an unfinished store."""

PICTURES, SIZES, META = "pictures", "sizes", "meta"

OF_THE_SOURCE = ("key", "model", "exact", "sound_offset", "row_offset", "mouth_lag", "notes")
"""What is known of a clip beyond the content of the store."""


@dataclass(frozen=True)
class Part:
    """One clip's share of a store, or the reason why it has none."""

    meta: dict[str, Any]
    """A `StoredClip`'s fields but `start`, and those of `OF_THE_SOURCE` but `key`; or `reason` and `detail`."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """Those of `ARRAYS`, `exact` where it is known, `pictures` (uint8: JPEG files end to end) and `sizes` (bytes of
    each)."""


def write_part(path: Path, part: Part) -> None:
    """Write a part, whole or not at all."""
    meta = np.frombuffer(json.dumps(part.meta).encode(), np.uint8)
    with atomic_file(path) as file:
        np.savez(file, allow_pickle=False, **{META: meta}, **part.arrays)


def read_meta(path: Path) -> dict[str, Any] | None:
    """A part's meta about its clip; None where there is no readable part."""
    try:
        with np.load(path, allow_pickle=False) as content:
            return json.loads(content[META].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def read_part(path: Path) -> Part:
    """A part with its arrays."""
    with np.load(path, allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files if name != META}
        return Part(json.loads(content[META].tobytes()), arrays)


def digest(value: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
