"""A store that exists as a manifest and an index: enough to plan and to check a plan."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from datamodules.crop import CROP
from datamodules.manifest import FORMAT, MANIFEST, VERSION
from datamodules.packing import columns_of, index_bytes
from datamodules.splits import Split

HASH = "5" * 64


def entries(actors: Sequence[str], **changes: Any) -> list[dict[str, Any]]:
    """Two labelled clips with everything for each actor; `changes` are of every clip."""
    clips = []
    for actor in actors:
        for emotion, level in (("neutral", 1), ("happy", 2)):
            clip = {"id": f"{actor}_front_{emotion}_{level}_001", "actor": actor, "emotion": emotion, "level": level}
            clip |= {"kind": "basic", "view": "front", "number": 1, "source": "a.mp4", "length": 10}
            clip |= {"has_audio": True, "has_coefficients": True, "has_landmarks": True, "crop": [0.0, 0.0, 1.0]}
            clips.append({**clip, **{key: value for key, value in changes.items() if key in clip}})
    return clips


def manifest(clips: Sequence[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """A manifest of clips that lie in one shard; `changes` are of its entries."""
    whole = {"format": FORMAT, "version": VERSION, "hash": HASH, "size": 128, "coefficient_model": "procedural-v1"}
    count, frames = len(clips), sum(clip["length"] for clip in clips)
    whole |= {"crop": CROP, "clips": count, "frames": frames, "index": "clips.0.npz", "report": "report.0.json"}
    whole |= {"shards": {"all-0": {"hash": HASH, "clips": count, "frames": frames, "exact": False}}}
    return {**whole, **{key: value for key, value in changes.items() if key in whole}}


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """`make_store(name, actors=..., size=..., has_audio=...)` writes the index of all toy actors, or of `actors`."""

    def make(name: str = "store", actors: Sequence[str] | None = None, **changes: Any) -> Path:
        split = Split.load("toy")
        everyone = [actor for role in split.actors.values() for actor in role]
        folder, clips = tmp_path / name, entries(actors or everyone, **changes)
        folder.mkdir()
        (folder / "clips.0.npz").write_bytes(index_bytes(columns_of(clips)))
        (folder / MANIFEST).write_text(json.dumps(manifest(clips, **changes)))
        return folder

    return make


@pytest.fixture
def store(make_store: Callable[..., Path]) -> Path:
    """The store of all toy actors."""
    return make_store()
