"""Further data sets, naming of one's own, and manifests: identity never comes from a guess."""

import re
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conventions.errors import UserError
from datamodules.audio import write_audio
from datamodules.catalogue import Catalogue, catalogue
from datamodules.naming import Naming, naming_of
from datamodules.prepare import prepare
from datamodules.splits import Split
from datamodules.store import Store

SPELLINGS = [
    ("hdtf", "video/WDA_BarackObama_000", ("BarackObama", "WDA_BarackObama_000")),
    ("hdtf", "WRA_BarbaraLee1_002", ("BarbaraLee", "WRA_BarbaraLee1_002")),
    ("hdtf", "video/RD_Radio10_000", ("Radio10", "RD_Radio10_000")),
    ("voxceleb2", "dev/mp4/id00012/21Uxsk56VDQ/00001", ("id00012", "id00012_21Uxsk56VDQ_00001")),
    ("voxceleb2", "id10280#NXjT3732Ekg#001093#001192", ("id10280", "id10280_NXjT3732Ekg_001093_001192")),
    ("celebv_hq", "35666/M2Ohb0FAaJU_1", ("M2Ohb0FAaJU", "M2Ohb0FAaJU_1")),
]


@pytest.mark.parametrize(("data_set", "path", "expected"), SPELLINGS)
def test_identities_of_data_sets_without_labels(data_set: str, path: str, expected: tuple[str, str]) -> None:
    for choice in {data_set, data_set if data_set == "celebv_hq" else "auto"}:
        parsed = naming_of(choice).parse(path, {})
        assert parsed is not None
        source, name = parsed
        assert (source, name.actor, name.id, name.emotion, name.level) == (data_set, *expected, None, None)


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def table(root: Path, *lines: str) -> None:
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def reasons(found: Catalogue, root: Path) -> dict[str, str]:
    return {str(item.path.relative_to(root)): item.reason for item in found.left_out}


@pytest.mark.parametrize(
    ("video", "audio"),
    [
        ("video/WDA_BarackObama_000.mp4", "audio/WDA_BarackObama_000.wav"),
        ("dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", "dev/aac/id00012/21Uxsk56VDQ/00001.m4a"),
        ("video/a talk.mp4", "audio/a talk.wav"),
        ("Videos/day 1/a.mp4", "wav/day 1/a.wav"),
    ],
)
def test_sound_lies_beside_the_folder_of_the_pictures(tmp_path: Path, video: str, audio: str) -> None:
    touch(tmp_path, video, audio)
    found = catalogue(tmp_path)
    assert [record.audio for record in found.records] == [tmp_path / audio]
    assert found.left_out == []


def test_ordinary_names_are_no_reason_to_refuse(tmp_path: Path) -> None:
    touch(tmp_path, "video/interview.mp4", "m001_interview.mp4", "video/front/me.mp4", "happy birthday.mp4", "ü/ß.mp4")
    found = catalogue(tmp_path)
    assert len(found.records) == 5
    assert found.left_out == []


def test_what_looks_like_a_labelled_set_is_no_actor_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "M003/video/front/angry/001.mp4", "Actor_03/01-01-02-01-01-01-03.mp4", "M003_level_2_x.mp4")
    assert set(reasons(catalogue(tmp_path), tmp_path).values()) == {"unknown_name"}
    assert len(catalogue(tmp_path, "plain").records) == 3


def test_a_named_parser_reads_all_or_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_names.py").write_text(
        "from datamodules.naming.name import Name\n"
        "def parse(path, styles):\n"
        "    who, _, what = path.partition('-')\n"
        "    return Name(who, 'happy', 'basic', 2, clip=path) if what else None\n"
        "def broken(path, styles):\n"
        "    return path\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_names", raising=False)
    raw = tmp_path / "raw"
    touch(raw, "ann-1.mp4", "ann-2.mp4", "stray.mp4")
    found = catalogue(raw, "own_names:parse")
    assert [(r.id, r.actor, r.emotion, r.level) for r in found.records] == [
        ("ann-1", "ann", "happy", 2),
        ("ann-2", "ann", "happy", 2),
    ]
    assert reasons(found, raw) == {"stray.mp4": "unknown_name"}
    with pytest.raises(UserError, match="'own_names:broken': gives 'ann-1' for ann-1, not a Name"):
        catalogue(raw, "own_names:broken")
    with pytest.raises(UserError, match="naming of a data set 'hdft' is unknown; did you mean 'hdtf'"):
        catalogue(raw, "hdft")
    assert isinstance(naming_of("mead"), Naming)


def test_a_manifest_overrides_names(tmp_path: Path) -> None:
    long = "ein sehr langer Ordner/" + 90 * "ä" + " " + 60 * "x" + ".mp4"
    touch(tmp_path, "M003/video/front/angry/level_1/001.mp4", "a b.mp4", long, "sound/x.wav", "unlisted.mp4")
    table(
        tmp_path,
        "path,audio,actor,emotion,level,split,start,end",
        "M003/video/front/angry/level_1/001.mp4,,,sadness,2,,,",
        "a b.mp4,sound/x.wav,Ann,happy,,train,,",
        f'"{long}",,Bö,,,test,1.5,4',
        f'"{long}",,Bö,,,,5,',
    )
    found = catalogue(tmp_path)
    rows = {r.id: (r.actor, r.emotion, r.level, r.split, r.span) for r in found.records}
    place = long.removesuffix(".mp4").replace("/", "__")
    assert rows == {
        "M003__video__front__angry__level_1__001": ("M003", "sad", 2, None, None),
        "a b": ("Ann", "happy", None, "train", None),
        f"{place}_1500-4000": ("Bö", None, None, "test", (1.5, 4.0)),
        f"{place}_5000-": ("Bö", None, None, None, (5.0, float("inf"))),
        "unlisted": ("unlisted", None, None, None, None),
    }
    assert found.left_out == []
    listed = catalogue(tmp_path, "manifest").records
    assert {r.id for r in listed} == rows.keys() - {"unlisted"}
    assert catalogue(tmp_path, str(tmp_path / "manifest.csv")).records == listed
    assert {r.emotion for r in catalogue(tmp_path, "mead").records} == {"angry"}, "a named parser reads no manifest"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["file", "a.mp4"], "manifest.csv: has no column path"),
        (["path,emotoin", "a.mp4,happy"], "unknown column 'emotoin'; did you mean 'emotion'"),
        (["path,path", "a.mp4,a.mp4"], "has a column twice"),
        (["path"], "lists no clip"),
        (["path,level", "a.mp4"], "line 2: does not have as many fields as columns"),
        (["path,level", "a.mp4,1,2"], "line 2: does not have as many fields as columns"),
        (["path,level", ",1"], "line 2: names no path"),
        (["path", "../a.mp4"], "must be inside the folder"),
        (["path,emotion", "a.mp4,hapy"], "line 2: emotion: 'hapy'; did you mean 'happy'"),
        (["path,emotion,level", "a.mp4,happy,4"], "level: '4' must be a whole number from 1 to 3"),
        (["path,emotion,level", "a.mp4,neutral,2"], "level: '2' must be a whole number from 1 to 1"),
        (["path,split", "a.mp4,trian"], "split: 'trian'; did you mean 'train'"),
        (["path,start", "a.mp4,soon"], "start: 'soon' must be a number of seconds"),
        (["path,start,end", "a.mp4,3,2"], "end: 2 s is not after the start, 3 s"),
        (["path,start,end", "a.mp4,nan,2"], "start: 'nan' must be a number"),
        (["path,actor,split", "a.mp4,Ann,train", "b.mp4,Ann,test"], "actor Ann is in train and in test"),
        (["path,split", "id00012/x/1.mp4,train", "id00012/x/2.mp4,test"], "actor id00012 is in train and in test"),
        (['path,actor', 'a.mp4,"open'], "is not a CSV file"),
    ],
)  # fmt: skip
def test_a_bad_manifest_is_one_line(tmp_path: Path, lines: list[str], message: str) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "id00012/x/1.mp4", "id00012/x/2.mp4")
    table(tmp_path, *lines)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        catalogue(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_doubles_have_a_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    table(tmp_path, "path,audio", "a.mp4,", "./a.mp4,", "b.mp4,none.wav", "gone.mp4,")
    found = catalogue(tmp_path)
    assert [record.id for record in found.records] == ["a"]
    assert reasons(found, tmp_path) == {"a.mp4": "duplicate", "b.mp4": "no_file", "gone.mp4": "no_file"}


def test_parts_of_a_film_are_clips(tmp_path: Path, clip: Callable[..., None]) -> None:
    raw = tmp_path / "raw"
    clip(raw / "film", 60, sound=".wav")
    rows = ["film.mp4,Ann,0.4,1.2,train", "film.mp4,Ann,1.2,,train", "film.mp4,Ann,2,9,train", "film.mp4,Ann,7,,train"]
    table(raw, "path,actor,start,end,split", *rows)
    report = prepare(raw, tmp_path / "store", coefficients="mat", size=64)
    assert report.left_out == {"bad_range": 2}
    assert {item["detail"].partition("lasts")[0] for item in report.details} == {"film.mp4: "}
    prepare(raw, tmp_path / "whole", coefficients="mat", size=64, naming="plain")
    store, whole = Store(tmp_path / "store"), Store(tmp_path / "whole")
    second, first = store.clips
    assert (first.id, first.length, second.id, second.length) == ("film_400-1200", 20, "film_1200-", 30)
    for part, begin in ((first, 10), (second, 30)):
        shown = slice(begin, begin + part.length)
        np.testing.assert_array_equal(store.coefficients[part.rows], whole.coefficients[shown])
        np.testing.assert_array_equal(store.audio[part.rows], whole.audio[shown])
    split = Split.load(str(tmp_path / "store" / "split.yaml"))
    assert split.role("Ann") == "train"


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_silence_makes_a_clip_without_sound(tmp_path: Path, clip: Callable[..., None], place: str) -> None:
    raw = tmp_path / "raw"
    clip(raw / "talk", 20, sound="inside")
    clip(raw / "quiet", 20, sound="inside")
    if place == "beside":
        write_audio(raw / "quiet.wav", np.zeros(16_000, np.float32))
    else:
        from datamodules.video_writer import write_video

        write_video(raw / "quiet.mp4", np.zeros((20, 64, 64, 3), np.uint8), fps=25, audio=np.zeros(12_800, np.float32))
    clip(raw / "empty", 20, sound=".wav")
    with wave.open(str(raw / "empty.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
    report = prepare(raw, tmp_path / "store", coefficients="mat", size=64)
    assert report.left_out == {}
    assert {clip.id: clip.has_audio for clip in Store(tmp_path / "store").clips} == {
        "empty": False,
        "quiet": False,
        "talk": True,
    }
    assert "no audio above -60 dB" in report.notes["quiet"][0]
