"""Merged stores hold what one preparation of all clips would have written."""

from pathlib import Path

import pytest
from conftest import write_clip

from conventions.errors import UserError
from datamodules.merging import merge
from datamodules.prepare import prepare
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
