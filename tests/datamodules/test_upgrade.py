"""A store of version 1, written here as that version laid it out, becomes one of this version with the same values."""

import json
from pathlib import Path

import numpy as np
import pytest
import toy_store

from conventions.errors import UserError
from datamodules.arrays import ARRAYS
from datamodules.shards import finished_shards
from datamodules.store import Store
from datamodules.upgrade import upgrade


def write_version_1(folder: Path, store: Store) -> None:
    """One file for each array, a record for each clip, and a further speech feature."""
    folder.mkdir()
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", np.array(getattr(store, name)))
    parts = [shard.source(number)[1]() for shard in finished_shards(store.path) for number in range(len(shard.clips))]
    np.save(folder / "frame_ends.npy", np.cumsum(np.concatenate([part.arrays["sizes"] for part in parts])))
    (folder / "frames.bin").write_bytes(b"".join(part.arrays["pictures"].tobytes() for part in parts))
    np.save(folder / "speech.own.npy", np.arange(2.0 * store.num_frames, dtype=np.float32).reshape(-1, 2))
    clips = [{**vars(clip), "crop": list(clip.crop)} for clip in store.clips]
    manifest = {"format": "emospace-store", "version": 1, "hash": "5" * 64, "size": store.size, "crop": "wide-v1"}
    manifest |= {"coefficient_model": store.coefficient_model, "clips": clips, "left_out": [], "styles": {}}
    manifest |= {"files": dict.fromkeys([*(f"{name}.npy" for name in ARRAYS), "frame_ends.npy", "frames.bin"], "0")}
    entry = {"file": "speech.own.npy", "sha256": "0", "shape": [2], "digest": ""}
    manifest |= {"sound_offsets": {clips[1]["id"]: 0.125}, "notes": {clips[0]["id"]: ["mended"]}}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"speech": {"own:Own": entry}}))


def test_all_values_are_kept(tmp_path: Path) -> None:
    new = Store(toy_store.write_store(tmp_path).store)
    write_version_1(tmp_path / "old", new)
    with pytest.raises(UserError, match=r"store version 1 is older .* `emospace store .*old --upgrade` rewrites it"):
        Store(tmp_path / "old")
    upgraded = upgrade(tmp_path / "old")
    upgraded.verify()
    assert upgraded.hash == new.hash
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(upgraded, name), getattr(new, name))
    np.testing.assert_array_equal(upgraded.speech("own:Own")[:, 1], 2 * np.arange(new.num_frames) + 1)
    assert upgraded.sound_offsets == {new.clips[1].id: 0.125}
    assert upgraded.notes == {new.clips[0].id: ["mended"]}
    assert not list((tmp_path / "old").glob("*.npy"))
    assert upgrade(tmp_path / "old").hash == new.hash, "one of this version is left alone"


def test_what_is_no_store_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no store that can be read"):
        upgrade(tmp_path)
