"""Every spelling of MEAD, CREMA-D and RAVDESS becomes a record; everything else a reason."""

from pathlib import Path

import pytest

from conventions.errors import UserError
from datamodules.catalogue import catalogue
from datamodules.naming import naming_of

SPELLINGS = [
    ("M003/video/front/angry/level_1/001", ("M003", "angry", 1, "front", 1)),
    ("M003/1/left_30/ang/level_2/058", ("M003", "angry", 2, "left_30", 58)),
    ("M003/M003/video/down/angry_level_1/007", ("M003", "angry", 1, "down", 7)),
    ("part0/W011/2/right_60/surprised/level_3/077", ("W011", "surprised", 3, "right_60", 77)),
    ("W011/video/top/neutral/level_1/040", ("W011", "neutral", 1, "top", 40)),
    ("w011/video/top/neutral/040", ("W011", "neutral", 1, "top", 40)),
    ("M030_front_happy_level3_001", ("M030", "happy", 3, "front", 1)),
    ("M030_front_disgust_level_3_001", ("M030", "disgusted", 3, "front", 1)),
    ("M030/video/front/happily_surprised/level_2/003", ("M030", "happily_surprised", 2, "front", 3)),
    ("CREMA/VideoFlash/1001_IEO_ANG_HI", ("1001", "angry", 3, "front", 1)),
    ("1001_WSI_NEU_XX", ("1001", "neutral", 1, "front", 12)),
    ("1001_DFA_SAD_XX", ("1001", "sad", 2, "front", 9)),
    ("Actor_12/01-01-06-02-02-01-12", ("actor_12", "fear", 3, "front", 21)),
    ("01-01-01-01-01-02-03", ("actor_03", "neutral", 1, "front", 12)),
]


@pytest.mark.parametrize(("path", "expected"), SPELLINGS)
def test_every_spelling_is_read(path: str, expected: tuple) -> None:
    parsed = naming_of("auto").parse(path, {"happily_surprised": "compound"})
    assert parsed is not None
    name = parsed[1]
    assert (name.actor, name.emotion, name.level, name.view, name.number) == expected
    assert name.kind == ("compound" if name.emotion == "happily_surprised" else "basic")


@pytest.mark.parametrize(
    "path",
    [
        "M003/video/front/angry/001",  # no level
        "M003/video/front/neutral/level_2/001",  # neutral has level 1 only
        "M003/video/front/angry/level_4/001",
        "M003/video/front/level_1/001",  # no emotion
        "video/front/angry/level_1/001",  # no actor
        "M003/video/front/angry/level_1/first",  # no number
        "01-01-02-01-01-01-03",  # calm
        "01-02-03-01-01-01-03",  # a song
        "holiday",
    ],
)
def test_what_is_no_label_is_not_read(path: str) -> None:
    assert naming_of("auto").parse(path, {}) is None


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_mead_tree(tmp_path: Path) -> None:
    video, audio = "M003/video/front/angry/level_1", "M003/audio/angry/level_1"
    touch(tmp_path, f"{video}/001.mp4", f"{video}/001.mat", f"{video}/058.mp4", f"{audio}/001.m4a", f"{audio}/002.m4a")
    touch(tmp_path, "M003/video/left_30/angry/level_1/001.mp4", "M003/video/front/level_1/009.mp4", ".cache/x.mp4")
    records, left_out, _ = catalogue(tmp_path)
    by_id = {record.id: record for record in records}
    assert list(by_id) == ["M003_front_angry_1_001", "M003_front_angry_1_058", "M003_left_30_angry_1_001"]
    first = by_id["M003_front_angry_1_001"]
    assert first.audio == tmp_path / audio / "001.m4a"
    assert first.coefficients == tmp_path / video / "001.mat"
    assert by_id["M003_left_30_angry_1_001"].audio == first.audio, "all views share one sound"
    assert by_id["M003_front_angry_1_058"].audio is None
    reasons = {str(item.path.relative_to(tmp_path)): item.reason for item in left_out}
    assert reasons == {f"{audio}/002.m4a": "no_video", "M003/video/front/level_1/009.mp4": "unknown_name"}


def test_duplicates_are_left_out_with_a_reason(tmp_path: Path) -> None:
    touch(
        tmp_path, "M003/video/front/angry/level_1/001.mp4", "M003/1/front/ang/level_1/001.mp4", "talk.mp4", "talk.avi"
    )
    records, left_out, _ = catalogue(tmp_path)
    assert [record.id for record in records] == ["M003_front_angry_1_001", "talk"]
    assert [item.reason for item in left_out] == ["duplicate", "duplicate"]


def test_unlabelled_clips_are_their_own_actors(tmp_path: Path) -> None:
    touch(tmp_path, "speaker_1.mp4", "speaker_1.wav", "speaker_1.mat", "more/speaker_1.mp4", "notes.txt")
    records, left_out, _ = catalogue(tmp_path)
    assert [(r.id, r.actor, r.emotion, r.level) for r in records] == [
        ("more__speaker_1", "more__speaker_1", None, None),
        ("speaker_1", "speaker_1", None, None),
    ]
    assert records[1].audio == tmp_path / "speaker_1.wav"
    assert records[1].coefficients == tmp_path / "speaker_1.mat"
    assert not left_out


def test_extra_styles_come_from_the_root(tmp_path: Path) -> None:
    touch(tmp_path, "M003/video/front/happily_surprised/level_2/001.mp4")
    (tmp_path / "styles.json").write_text('{"happily_surprised": {"kind": "compound"}}')
    records, _, _ = catalogue(tmp_path)
    assert [(r.emotion, r.kind) for r in records] == [("happily_surprised", "compound")]


@pytest.mark.parametrize("content", ["[", "[1]", '{"awed": {}}', '{"awed": {"kind": "odd"}}'])
def test_a_broken_style_file_is_one_clear_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "styles.json").write_text(content)
    with pytest.raises(UserError, match=r"styles\.json"):
        catalogue(tmp_path)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path, "M003/video/front/angry/level_1/001.mp4")
    (tmp_path / "M003" / "again").symlink_to(tmp_path)
    assert len(catalogue(tmp_path)[0]) == 1


def test_a_missing_folder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        catalogue(tmp_path / "nowhere")
