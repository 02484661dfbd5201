"""The store: pictures and rows come back, damage is found, other versions are refused, a copy is as good."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from conventions.errors import UserError
from datamodules.manifest import VERSION, store_hash
from datamodules.prepare import prepare
from datamodules.store import ARRAYS, Store, describe


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
    for name, (kind, shape) in ARRAYS.items():
        array = getattr(opened, name)
        assert array.shape == (80, *shape)
        assert array.dtype == kind
        assert np.isfinite(array).all()
    assert [clip.start for clip in opened.clips] == [0, 20, 40, 60]


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
    with pytest.raises(UserError, match=r"holds 64 px, 128 px are asked for"):
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
    content = bytearray((store / name).read_bytes())
    content[len(content) // 2] ^= 1
    (store / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"damaged: {name}"):
        Store(store).verify()


def test_changed_labels_are_found(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["clips"][0]["emotion"] = "sad"
    (store / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"damaged: manifest\.json"):
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
    (store / "mel.npy").write_bytes((store / "mel.npy").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"mel\.npy: cannot be read"):
        _ = Store(store).mel


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
    for key in whole["clips"][0]:
        for value in (None, -1, "x", [], 1.5, {}):
            wrongs.append({**whole, "clips": [{**whole["clips"][0], key: value}, *whole["clips"][1:]]})
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


@pytest.mark.parametrize("name", [*(f"{name}.npy" for name in ARRAYS), "frame_ends.npy", "frames.bin"])
def test_arrays_of_any_content_are_one_line(store: Path, name: str) -> None:
    content = (store / name).read_bytes()
    random = np.random.default_rng(0)
    for number in range(20):
        damaged = bytearray(content[: random.integers(200)] if number % 3 == 0 else content)
        for place in random.integers(0, max(min(len(damaged), 150), 1), 8 if damaged else 0):
            damaged[place] = random.integers(256)
        (store / name).write_bytes(damaged)
        opened = Store(store)
        try:
            opened.frames(opened.clips[0], [0, 1])
            for array in ARRAYS:
                getattr(opened, array)
        except UserError as error:
            told = str(error)
            assert "\n" not in told
            assert name in told or "frames.bin" in told
