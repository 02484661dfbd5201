"""Folders that `emospace score --out` wrote: another method's values, and what they rest on."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from experiments.run_content import read_columns


@dataclass(frozen=True)
class Scored:
    """One method as it was scored."""

    folder: Path
    title: str
    protocol: str
    backbones: Mapping[str, str]
    """Network by role; a role without one is left out."""
    crop: str
    values: Mapping[str, float]
    """Means by metric; NaN where there is no value."""
    clips: frozenset[str]
    frames: int
    digests: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the network's file by role."""

    @property
    def networks(self) -> dict[str, str]:
        """Network by role, with the first digits of its file's SHA-256 where there is one."""
        return named_networks(self.backbones, self.digests)

    @property
    def facts(self) -> dict[str, Any]:
        """Plain data for a table's JSON."""
        networks = {"backbones": dict(self.backbones), "networks_sha256": dict(self.digests)}
        facts = {"folder": str(self.folder), "protocol": self.protocol, **networks}
        return {**facts, "crop": self.crop, "clips": len(self.clips), "frames": self.frames}


def named_networks(backbones: Mapping[str, str], digests: Mapping[str, str]) -> dict[str, str]:
    """`SFace (487a139e)` by role: two networks of one name and other weights are two networks."""
    return {role: f"{name} ({digests[role][:8]})" if role in digests else name for role, name in backbones.items()}


def read_scored(folders: Iterable[Path]) -> list[Scored]:
    """Scored folders: each of those given, or those in it; UserError where there is none or one method twice."""
    scored = [_read(path) for folder in folders for path in _documents(folder)]
    by_title: dict[str, Scored] = {}
    for one in scored:
        if (other := by_title.setdefault(one.title, one)) is not one:
            raise UserError(f"{other.folder} and {one.folder}: are both {one.title}; score one with another --name")
    return scored


def _documents(folder: Path) -> list[Path]:
    own = folder / "metrics.json"
    found = [own] if own.is_file() else sorted(folder.glob("*/metrics.json"))
    if not found:
        raise UserError(
            f"{folder}: contains no metrics.json, nor does a folder in it; `emospace score --out` writes it"
        )
    return found


def _read(path: Path) -> Scored:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        means = document["rows"]["per_clip"]
        values = {name: math.nan if value is None else float(value) for name, value in means.items()}
        title, protocol, networks, crop = (document[key] for key in ("method", "protocol", "backbones", "crop"))
        frames, digests = int(document["frames"]), dict(document.get("networks_sha256", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: is not what emospace score writes ({type(error).__name__}: {error})") from error
    [clips] = read_columns(path.parent / "per_clip.csv", ["id"])
    facts = (str(title), str(protocol), dict(networks), str(crop), values, frozenset(clips), frames)
    return Scored(path.parent, *facts, digests)
