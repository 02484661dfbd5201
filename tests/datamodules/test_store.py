"""The store: images and rows come back, damage is found, other versions are refused or upgraded, a copy is as good."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_store

from conventions.errors import UserError
from datamodules.audio import mfcc_windows
from datamodules.manifest import VERSION, store_hash
from datamodules.prepare import prepare
from datamodules.shards import finished_shards
from datamodules.store import ARRAYS, INT16_MAX, Store, describe
from datamodules.upgrade import upgrade


@pytest.fixture(scope="module")
def made(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "store"
    prepare(raw, path, coefficients="mat", size=64)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_rows_of_every_array(store: Path) -> None:
    opened = Store(store)
    assert opened.num_frames == 80
    for name, form in ARRAYS.items():
        array = getattr(opened, name)
        assert array.shape == (80, *((28, 13) if name == "mfcc" else form.shape))
        assert array.dtype == form.kind
        assert array[:].shape == array.shape
        assert np.isfinite(array).all()
    assert [clip.start for clip in opened.clips] == [0, 20, 40, 60]


def test_rows_are_indexed_as_an_array(store: Path) -> None:
    opened = Store(store)
    whole = np.concatenate([opened.coefficients[clip.rows] for clip in opened.clips])
    for key in (0, 79, -1, slice(15, 65), slice(70, None), slice(3, 70, 7), [5, 44, 5], np.array([[1, 79], [40, 2]])):
        np.testing.assert_array_equal(opened.coefficients[key], whole[key])
        np.testing.assert_array_equal(opened.coefficients[key, 3:9], whole[key][..., 3:9])
    assert opened.coefficients[7:7].shape == (0, 257)
    with pytest.raises(IndexError):
        opened.coefficients[80]


def test_mfcc_windows_are_views_of_the_steps_of_their_clip(store: Path) -> None:
    opened = Store(store)
    for clip in opened.clips:
        sound = opened.audio[clip.rows].reshape(-1) / INT16_MAX
        expected = mfcc_windows(sound.astype(np.float32), clip.length)
        np.testing.assert_allclose(opened.mfcc[clip.rows], expected, atol=0.5)
        np.testing.assert_array_equal(opened.mfcc[clip.start + 3], opened.mfcc[clip.rows][3])
    stored = sum(file.stat().st_size for file in store.rglob("mfcc.npy"))
    assert stored < 80 * 28 * 13 * 4 / 3, "steps are stored once, and each clip's margin"


def test_clips_are_selected_by_their_columns(store: Path) -> None:
    clips = Store(store).clips
    assert [clip.id for clip in clips.where(actor=["M001"], level=lambda level: level == 1)] == [clips[1].id]
    assert len(clips.where(emotion=["happy"]).where(has_audio=[True])) == 2
    assert len(clips.where(has_audio=[False])) == len(clips.where(kind=["new"])) == 0
    assert clips.where(emotion=["awed"]).values("actor") == ["W002"]
    assert clips.counts("emotion") == {"awed": 1, "happy": 2, "neutral": 1}
    groups = clips.groups("actor", "view")
    random = np.random.default_rng(0)
    assert {clips[groups.draw(random, 1)].actor for _ in range(9)} == {"W002"}
    assert groups.of.tolist() == [0, 0, 1, 1]


def test_pictures_are_those_of_the_clip(store: Path) -> None:
    opened = Store(store)
    clip = opened.clips[2]
    frames = opened.frames(clip, [0, 19, 7])
    assert frames.shape == (3, 64, 64, 3)
    means = frames.mean(axis=(1, 2, 3))
    assert means[0] < means[2] < means[1], "the clips brighten from frame to frame"
    small = opened.frames(clip, [0], 16)
    whole = frames[:1].reshape(1, 16, 4, 16, 4, 3).mean(axis=(2, 4))
    assert np.abs(small - whole).max() < 6
    with pytest.raises(UserError, match=r"has images of 64 px, 128 px are needed"):
        opened.frames(clip, [0], 128)
    with pytest.raises(IndexError):
        opened.frames(clip, [20])


def test_a_copy_and_a_pickle_are_as_good(made: Path, store: Path) -> None:
    copied = pickle.loads(pickle.dumps(Store(store)))
    assert copied.hash == Store(made).hash
    np.testing.assert_array_equal(copied.mel, Store(made).mel)
    copied.verify()


@pytest.mark.parametrize("name", ["frames.bin", "mel.npy", "coefficients.npy", "frame_ends.npy"])
def test_a_flipped_bit_is_found(store: Path, name: str) -> None:
    file = next(store.rglob(name))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"damaged: {file.relative_to(store)}: ")):
        Store(store).verify()


def test_changed_labels_are_found(store: Path) -> None:
    index = store / json.loads((store / "manifest.json").read_text())["index"]
    content, file = index.read_bytes(), next(store.rglob("shard.json"))
    columns = dict(np.load(index))
    columns["emotion"][0] = 0
    np.savez(index, **columns)
    with pytest.raises(UserError, match=rf"damaged: {index.name}"):
        Store(store).verify()
    index.write_bytes(content)
    file.write_text(file.read_text().replace('"happy"', '"sad"'))
    with pytest.raises(UserError, match=rf"damaged: {file.relative_to(store)}: "):
        Store(store).verify()
    shutil.rmtree(file.parent)
    with pytest.raises(UserError, match=rf"damaged: {file.relative_to(store)}: "):
        Store(store).verify()


def test_the_hash_alone_is_read_from_the_manifest_and_again_when_it_changes(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    with pytest.raises(UserError, match="no store is there"):
        store_hash(path)
    text = (made / "manifest.json").read_text()
    (path / "manifest.json").write_text(text)
    assert store_hash(path) == Store(made).hash
    other = json.dumps({**json.loads(text), "hash": "f" * 64})
    (path / "manifest.json").write_text(other)
    assert store_hash(path) == "f" * 64


@pytest.mark.parametrize(("version", "word"), [(VERSION - 1, "older"), (VERSION + 1, "newer")])
def test_another_version_is_refused_in_one_line(store: Path, version: int, word: str) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps({**manifest, "version": version}))
    with pytest.raises(UserError, match=rf"store version {version} is {word} than the {VERSION}") as error:
        Store(store)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other", "version": 1}'])
def test_what_is_no_manifest_is_refused(store: Path, content: str) -> None:
    (store / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json"):
        Store(store)


def test_no_store_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store is there"):
        Store(tmp_path)


def test_a_truncated_array_is_one_clear_line(store: Path) -> None:
    file = next(store.rglob("mel.npy"))
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"mel\.npy: cannot be read"):
        Store(store).mel[:]


def test_the_hash_is_of_the_content_alone(raw: Path, made: Path, tmp_path: Path) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    for path in (tmp_path / "raw").iterdir():
        path.touch()
    prepare(tmp_path / "raw", tmp_path / "store", coefficients="mat", size=64)
    assert Store(tmp_path / "store").hash == Store(made).hash
    prepare(raw, tmp_path / "small", coefficients="mat", size=32)
    assert Store(tmp_path / "small").hash != Store(made).hash


def test_description(made: Path) -> None:
    description = describe(Store(made))
    assert json.loads(json.dumps(description)) == description
    assert description["clips"] == 4
    assert description["frames"] == 80
    assert description["actors"] == ["M001", "W002"]
    assert description["by_emotion"] == {"awed": 1, "happy": 2, "neutral": 1}
    assert description["left_out"] == {}


def test_a_manifest_of_any_content_is_one_line(store: Path) -> None:
    """Values replaced by those of other types, entries left out, and other files in its place."""
    file = store / "manifest.json"
    whole = json.loads(file.read_text())
    wrongs = [dict(whole), *({**whole, key: value} for key in whole for value in (None, 1, "x", [], {}, [1], True))]
    wrongs += [{key: value for key, value in whole.items() if key != left_out} for left_out in whole]
    shard = next(iter(whole["shards"]))
    for value in (None, -1, "x", [], 1.5, {}):
        wrongs += [{**whole, "shards": whole["shards"] | {shard: value}}]
        for key in ("hash", "clips", "frames"):
            wrongs.append({**whole, "shards": whole["shards"] | {shard: whole["shards"][shard] | {key: value}}})
    texts = [json.dumps(wrong).encode() for wrong in wrongs]
    texts += [
        b"",
        b"{",
        b"null",
        b"[]",
        b"1",
        b"[" * 100_000,
        b"\xff\xfe{\x00}\x00",
        b"\x89PNG",
        b'{"format": "emospace-store"}',
    ]
    opened = 0
    for text in texts:
        file.write_bytes(text)
        try:
            describe(Store(store))
            opened += 1
        except UserError as error:
            told = str(error)
            assert "\n" not in told, text
            assert str(store) in told, text
    assert 0 < opened < len(texts) // 2


@pytest.mark.parametrize("name", [*(f"{name}.npy" for name in ARRAYS), "frame_ends.npy", "frames.bin", "clips.*.npz"])
def test_arrays_of_any_content_are_one_line(store: Path, name: str) -> None:
    file = next(store.rglob(name))
    content = file.read_bytes()
    random = np.random.default_rng(0)
    for number in range(20):
        damaged = bytearray(content[: random.integers(200)] if number % 3 == 0 else content)
        for place in random.integers(0, max(min(len(damaged), 150), 1), 8 if damaged else 0):
            damaged[place] = random.integers(256)
        file.write_bytes(damaged)
        try:
            opened = Store(store)
            opened.frames(opened.clips[0], [0, 1])
            for array in ARRAYS:
                getattr(opened, array)[:]
        except UserError as error:
            told = str(error)
            assert "\n" not in told
            assert file.name in told or "frames.bin" in told


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
