"""Merged stores hold what one preparation of all clips would have written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import write_clip

from conventions.errors import UserError
from datamodules.merging import merge
from datamodules.prepare import prepare
from datamodules.speech_store import add_speech
from datamodules.store import Store

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ab` and `c` prepared apart, and `abc` prepared at once."""
    folder = tmp_path_factory.mktemp("merging")
    for number, name in enumerate(NAMES):
        for raw in ("abc", "c" if name == "c" else "ab"):
            write_clip(folder / raw / name, 12 + number)
    for raw in ("ab", "c", "abc"):
        prepare(folder / raw, folder / f"store-{raw}", coefficients="mat", size=32, look=False)
    return folder


def test_the_content_is_that_of_one_preparation(stores: Path) -> None:
    merged = merge(stores / "merged", [stores / "store-ab", stores / "store-c"])
    at_once = Store(stores / "store-abc")
    assert merged.hash == at_once.hash
    assert [clip.id for clip in merged.clips] == [clip.id for clip in at_once.clips]
    assert not merged.damaged()
    assert sorted(path.name for path in merged.path.iterdir()) == sorted(path.name for path in at_once.path.iterdir())


def test_a_merged_store_is_left_alone(stores: Path) -> None:
    sources = [stores / "store-ab", stores / "store-c"]
    before = (merge(stores / "again", sources).path / "manifest.json").stat().st_mtime_ns
    assert (merge(stores / "again", sources).path / "manifest.json").stat().st_mtime_ns == before
    assert len(merge(stores / "again", [*reversed(sources)]).clips) == 3
    assert (stores / "again" / "manifest.json").stat().st_mtime_ns > before


def test_what_cannot_be_merged_is_one_line(stores: Path) -> None:
    with pytest.raises(UserError, match=r"clip a\S* is in .*store-ab too"):
        merge(stores / "twice", [stores / "store-ab", stores / "store-abc"])
    prepare(stores / "c", stores / "store-large", coefficients="mat", size=64, look=False)
    with pytest.raises(UserError, match="size 64 differs from 32"):
        merge(stores / "sizes", [stores / "store-ab", stores / "store-large"])
    with pytest.raises(UserError, match="neither empty nor a store"):
        merge(stores / "ab", [stores / "store-ab", stores / "store-c"])


class Loudness:
    """A speech feature of one number."""

    shape, look_ahead = (1,), 0

    def __call__(self, waveform: np.ndarray, num_frames: int) -> np.ndarray:
        return np.square(waveform.reshape(num_frames, 640)).mean(1, keepdims=True).astype(np.float32)


@pytest.fixture(scope="module")
def halves(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Stores of each actor's clips, and of both."""
    root = tmp_path_factory.mktemp("halves")
    for actor in ("M001", "W002"):
        (root / actor).mkdir()
        for file in [*raw.glob(f"{actor}*"), raw / "styles.json"]:
            shutil.copy2(file, root / actor)
        prepare(root / actor, root / f"{actor}.store", coefficients="mat", size=32)
    prepare(raw, root / "both", coefficients="mat", size=32)
    return root / "M001.store", root / "W002.store", root / "both"


def test_filtered_and_merged_again_nothing_is_lost(halves: tuple[Path, Path, Path], tmp_path: Path) -> None:
    both = halves[2]
    happy = merge(tmp_path / "happy", [both], {"emotion": ["happy"]})
    assert [(clip.actor, clip.level) for clip in happy.clips] == [("M001", 3), ("W002", 1)]
    assert [clip.actor for clip in merge(tmp_path / "one", [both], {"actor": ["W002"], "level": ["2"]}).clips] == [
        "W002"
    ]
    whole = Store(both)
    for clip in happy.clips:
        (same,) = [other for other in whole.clips if other.id == clip.id]
        np.testing.assert_array_equal(happy.frames(clip, [0, 19]), whole.frames(same, [0, 19]))
        for name in ("coefficients", "mfcc", "audio", "landmarks"):
            np.testing.assert_array_equal(getattr(happy, name)[clip.rows], getattr(whole, name)[same.rows])
    merge(tmp_path / "rest", [both], {"emotion": ["neutral", "awed"]})
    again = merge(tmp_path / "again", [tmp_path / "happy", tmp_path / "rest"])
    again.verify()
    assert again.hash == whole.hash


def test_growing_writes_the_new_actor_alone(halves: tuple[Path, Path, Path], tmp_path: Path) -> None:
    first, second, both = halves
    grown = Path(shutil.copytree(first, tmp_path / "grown"))
    add_speech(grown, "test_merging:Loudness")
    before = {path: path.stat().st_ino for path in (grown / "shards").rglob("*.*")}
    store = merge(grown, [grown, second])
    assert store.hash == Store(both).hash
    assert {path: path.stat().st_ino for path in before} == before
    with pytest.raises(UserError, match="for some clips only"):
        store.speech("test_merging:Loudness")
    speech = next(path for path in before if path.name.startswith("speech."))
    stamp = speech.stat().st_mtime_ns
    assert add_speech(grown, "test_merging:Loudness").speech("test_merging:Loudness").shape == (80, 1)
    assert speech.stat().st_mtime_ns == stamp, "what is there is left alone"


def test_preparing_again_leaves_other_actors_alone(raw: Path, tmp_path: Path, clip: Callable[..., None]) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    store = tmp_path / "store"
    prepare(tmp_path / "raw", store, coefficients="mat", size=32)
    before = {path: path.stat().st_ino for path in (store / "shards").rglob("*.*") if "W002" in str(path)}
    clip(tmp_path / "raw" / "M001_front_sad_level2_004", 24)
    assert prepare(tmp_path / "raw", store, coefficients="mat", size=32).prepared == 1
    assert {path: path.stat().st_ino for path in before} == before
    assert len(list((store / "shards").iterdir())) == 2, "the shard of before is gone"


def test_what_would_be_lost_or_is_not_there_is_one_line(
    halves: tuple[Path, Path, Path], raw: Path, tmp_path: Path
) -> None:
    first, second, both = halves
    grown = Path(shutil.copytree(first, tmp_path / "grown"))
    for path, stores, only, words in (
        (grown, [second], {}, r"2 clips that would be lost, for example M001_front_happy_3_001; name it among"),
        (tmp_path / "out", [first], {"actors": ["M001"]}, "no such column; did you mean 'actor'"),
        (tmp_path / "out", [both], {"actor": ["M1"]}, "no clip is selected"),
        (tmp_path / "out", [tmp_path / "nowhere"], {}, "no store is there"),
    ):
        with pytest.raises(UserError, match=words) as error:
            merge(path, stores, only)
        assert "\n" not in str(error.value)
    merge(tmp_path / "merged", [first, second])
    with pytest.raises(UserError, match="was merged from other stores"):
        prepare(raw, tmp_path / "merged", coefficients="mat", size=32)
