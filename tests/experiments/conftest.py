"""A store that exists as a manifest alone: enough to plan and to check a plan."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from datamodules.crop import CROP
from datamodules.manifest import FORMAT, MANIFEST, VERSION
from datamodules.splits import Split

HASH = "5" * 64


def manifest(actors: Sequence[str], **changes: Any) -> dict[str, Any]:
    """Two labelled clips with everything for each actor; `changes` are of the manifest or, by name, of every clip."""
    clips = []
    for actor in actors:
        for emotion, level in (("neutral", 1), ("happy", 2)):
            clip = {"id": f"{actor}_front_{emotion}_{level}_001", "actor": actor, "emotion": emotion, "level": level}
            clip |= {"kind": "basic", "view": "front", "number": 1, "source": "a.mp4", "start": 10 * len(clips)}
            clip |= {"length": 10, "has_audio": True, "has_coefficients": True, "has_landmarks": True}
            clip |= {"crop": [0.0, 0.0, 1.0]}
            clips.append({**clip, **{key: value for key, value in changes.items() if key in clip}})
    whole = {"format": FORMAT, "version": VERSION, "hash": HASH, "size": 128, "coefficient_model": "procedural-v1"}
    whole |= {"crop": CROP, "left_out": [], "files": {}}
    return {**whole, "clips": clips, **{key: value for key, value in changes.items() if key in whole}}


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """`make_store(name, actors=..., size=..., has_audio=...)` writes a manifest of all toy actors, or of `actors`."""

    def make(name: str = "store", actors: Sequence[str] | None = None, **changes: Any) -> Path:
        split = Split.load("toy")
        everyone = [actor for role in split.actors.values() for actor in role]
        folder = tmp_path / name
        folder.mkdir()
        (folder / MANIFEST).write_text(json.dumps(manifest(actors or everyone, **changes)))
        return folder

    return make


@pytest.fixture
def store(make_store: Callable[..., Path]) -> Path:
    """The store of all toy actors."""
    return make_store()
