"""`emospace score --method`: other methods' official outputs, found by their layouts and merged into Table 1.

Values of other papers: each with its source, protocol and definition, apart from the table and never in it.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablations.methods import available, load_layout
from ablations.others import read_published
from ablations.scored import read_scored
from conventions.errors import UserError
from datamodules.video_writer import write_video
from emospace.cli import main
from emospace.scoring.pairs import match_layout
from metrics.protocol import HIGHER_IS_BETTER

CLIPS = {"M003_front_happy_3_001": "M003/video/front/happy/level_3/001.mp4"}
CLIPS["W009_front_neutral_1_012"] = "W009/video/front/neutral/level_1/012.mp4"
FRAMES, SIZE = 12, 48
OUTPUTS = {
    "wav2lip": ["M003_happy_3_001.mp4", "W009_neutral_1_012.mp4"],
    "pc_avs": [
        "id_M003_pose_front_audio_M003_happy_3_001/G_Pose_Driven_.mp4",
        "results/id_1_pose_W_009_audio_W009_neutral_1_012/G_Pose_Driven_.mp4",
    ],
    "mead": [
        *(f"M003_happy_3_001/outputs/GanimationTrainer/images/happy/gen_{i:03d}.jpg" for i in range(1, 4)),
        *(f"W009_neu_1_012/outputs/GanimationTrainer/images/neutral/gen_{i:03d}.jpg" for i in (999, 1000)),
    ],
    "evp": [
        *(f"M003/test_latest/M003_happy_3_001/fake_B_{i:06d}.jpg" for i in range(2, 5)),
        "W009/test_latest/W009_neutral_1_012/fake_B_000002.jpg",
    ],
    "eamm": ["M003_happy_3_001/emotion.mp4", "W009_neutral_1_012/emotion.mp4"],
    "gc_avt": ["M003_happy_3_001.mp4", "w009_neutral_1_12.mp4"],
    "ecg": ["M003_happiness_3_001.mp4", "W009_neutral_1_012.mp4"],
    "eat": ["deepprompt/M003_M003_hap_3_001.mp4", "deepprompt/W009_W009_neu_1_012.mp4"],
    "emocast": ["face_M003_happy_3_001.mp4", "a_b_W009_neutral_1_012.mp4"],
    "liveportrait": ["face--M003_happy_3_001.mp4", "face--W009_neutral_1_012.mp4"],
    "edtalk": ["M003_happy_3_001.mp4", "W009_neutral_1_012.mp4"],
    "c_met": ["M003_happy_3_001.mp4", "W009_neutral_1_012.mp4"],
    "float": ["M003_happy_3_001.mp4", "W009_neutral_1_012.mp4"],
    "dice_talk": ["M003_happy_3_001.mp4", "W009_neutral_1_012.mp4"],
    "styletalk": ["M003_happy_3_001.mp4", "W009_neutral_1_012.mp4"],
    "dreamtalk": ["M003_happy_3_001.mp4", "W009_neutral_1_012.mp4"],
    "sadtalker": ["M003_happy_3_001.mp4", "W009_neutral_1_012.mp4"],
}
"""Outputs of the two clips as the official code writes them, its rule of naming followed."""
BESIDES = {
    "edtalk": ["M003_happy_3_001_512.mp4"],
    "liveportrait": ["face--M003_happy_3_001_concat.mp4"],
    "pc_avs": ["id_M003_pose_front_audio_M003_happy_3_001/avconcat.mp4", "x/Pose_Source_.mp4"],
    "evp": ["M003/test_latest/M003_happy_3_001/real_A_000002.jpg"],
    "eamm": [f"M003_happy_3_001/{name}" for name in ("neutral.mp4", "all.mp4", "all.mov", "emotion.mov")],
}
"""What else it leaves there."""


def touch(folder: Path, paths: list[str]) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    return touch(tmp_path / "MEAD", [*CLIPS.values(), "M003/video/front/happy/level_3/002.mp4", "notes.mp4"])


@pytest.mark.parametrize("method", available())
def test_official_outputs_are_found_and_nothing_else(method: str, truth: Path, tmp_path: Path) -> None:
    made = touch(tmp_path / "made", OUTPUTS[method] + BESIDES.get(method, []))
    layout = load_layout(method)
    pairs = match_layout(made, truth, layout)
    assert {pair.id: pair.truth for pair in pairs.pairs} == {clip: truth / path for clip, path in CLIPS.items()}
    chosen = [path for pair in pairs.pairs for path in (pair.stills or [pair.generated])]
    assert sorted(path.relative_to(made).as_posix() for path in chosen) == sorted(OUTPUTS[method])
    assert set(pairs.lone_generated) == {path for path in BESIDES.get(method, []) if path.endswith((".mp4", ".mov"))}
    assert pairs.lone_truth == ["M003/video/front/happy/level_3/002.mp4", "notes.mp4"]


NEWER = {
    *("EAT", "EDTalk", "C-MET", "FLOAT", "DICE-Talk", "EmoCAST", "StyleTalk", "DreamTalk", "SadTalker", "LivePortrait"),
}


def test_every_layout_is_a_row_of_table_1_a_case_of_figure_4_or_a_newer_method_and_is_documented() -> None:
    from ablations.paper import OTHERS, TABLE_1

    titles = {load_layout(name).title for name in available()}
    assert titles == {row.title for row in TABLE_1.rows if row.group == OTHERS} | {"GC-AVT", "ECG"} | NEWER
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    for name in available():
        layout = load_layout(name)
        assert f"| `{name}` | {layout.title} | `{layout.file}` |" in page


def test_pictures_are_in_the_order_of_their_numbers(truth: Path, tmp_path: Path) -> None:
    made = touch(tmp_path / "made", OUTPUTS["mead"])
    pairs = match_layout(made, truth, load_layout("mead")).pairs
    assert [[path.stem for path in pair.stills] for pair in pairs] == [
        ["gen_001", "gen_002", "gen_003"],
        ["gen_999", "gen_1000"],
    ]
    touch(made, [OUTPUTS["mead"][0].replace("001.jpg", "005.jpg")])
    with pytest.raises(UserError, match=r"images/happy: image 4 is missing between 1 and 5"):
        match_layout(made, truth, load_layout("mead"))


def test_a_layout_of_ones_own_is_given_by_its_path(truth: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "title: Mine\nsource: here\nrule: none\nfps: 25\nsize: [64, 48]\nsound: any\n"
        'file: "{emotion}/{clip}-level{level}-{actor}-{view}.mkv"\n'
    )
    made = touch(tmp_path / "made", ["happy/001-level3-M003-front.mkv", "happy/001-level3-M003-left_30.mkv"])
    pairs = match_layout(made, truth, load_layout(str(own)))
    assert [pair.id for pair in pairs.pairs] == ["M003_front_happy_3_001"]
    assert pairs.lone_generated == ["happy/001-level3-M003-left_30.mkv"]


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["result_voice.mp4"], r"has nothing of the form .*wav2lip.*; result_voice.mp4 does not match: .*--outfile"),
        (["M003_hapy_3_001.mp4"], r"M003_hapy_3_001.mp4: does not name a clip of MEAD .*--outfile"),
        (["M003_happy_7_001.mp4"], r"M003_happy_7_001.mp4: does not name a clip"),
        (["M003_happy_2_001.mp4"], r"M003_front_happy_2_001, ... are not among M003_front_happy_3_001"),
        (["M003_happy_3_001.mp4", "a/M003_hap_3_001.mp4"], r"001.mp4 and .*001.mp4: are the same clip twice"),
        ([], r"made: has nothing of the form"),
    ],
)
def test_wrong_names_are_one_line(
    paths: list[str], said: str, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    made = touch(tmp_path / "made", paths)
    with pytest.raises(UserError, match=said):
        match_layout(made, truth, load_layout("wav2lip"))
    assert main(["score", str(made), str(truth), "--method", "wav2lip"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("fps:", "fsp:", r"unknown key 'fsp'; did you mean 'fps'"),
        ("fps: 25", "fps: fast", r"fps: expected frames per second or 'any', not 'fast'"),
        ("{clip}", "{number}", r"file: unknown part \{number\}"),
        ("_{clip}", "", r"file: \{clip\} must occur once, not 0 times"),
        ("{clip}", "{clip}_{frame}", None),
        ("{clip}", "{clip}/{frame}/x", r"\{frame\} must be part of the file's own name"),
        ("size: 48", "size: [1, 2, 3]", r"size: expected px, \[width, height\] or 'any'"),
        ("sound: true", "sound: loud", r"sound: expected true, false or 'any'"),
        ("sound: true", "", r"sound: is missing"),
        ("title: T", "title: 3", r"title: expected a text, not 3"),
        ("fps: 25", "fps: 25\nfirst_frame: -1", r"first_frame: expected a number of frames"),
        ("title: T", "- T", r"is not valid YAML"),
    ],
)
def test_a_bad_layout_is_one_line(old: str, new: str, said: str | None, tmp_path: Path) -> None:
    text = (
        'title: T\nsource: s\nrule: r\nfps: 25\nsize: 48\nsound: true\nfile: "{actor}_{emotion}_{level}_{clip}.mp4"\n'
    )
    path = tmp_path / "own.yaml"
    path.write_text(text.replace(old, new))
    if said is None:
        assert load_layout(str(path)).of_stills
        return
    with pytest.raises(UserError, match=said):
        load_layout(str(path))


def test_an_unknown_method_names_the_nearest(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(truth), str(truth), "--method", "wav2lp"]) == 2
    assert "method 'wav2lp': no such file or name; did you mean 'wav2lip'?" in capsys.readouterr().err
    assert main(["score", str(truth), str(truth), "--method", "wav2lip", "--pairs", "x.csv"]) == 2
    assert "--pairs and --method" in capsys.readouterr().err


def moving(frames: int, start: int = 0) -> np.ndarray:
    """Frames of a pattern that moves from frame to frame; uint8 [t, size, size, 3]."""
    x = np.arange(SIZE)[None, None, :, None] + 3 * np.arange(start, start + frames)[:, None, None, None]
    wave = 127 + 100 * np.sin(x / 5 + np.arange(SIZE)[None, :, None, None] / 9 + np.arange(3))
    return wave.astype(np.uint8)


@pytest.fixture
def scores(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """PC-AVS (which begins at frame 2) and MEAD (images, 30 a second) scored against one true clip of 1 s."""
    monkeypatch.setenv("EMOSPACE_WEIGHTS", str(tmp_path / "no_weights"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_video(tmp_path / "MEAD" / CLIPS["M003_front_happy_3_001"], moving(25), crf=1)
    write_video(tmp_path / "pc_avs" / OUTPUTS["pc_avs"][0], moving(20, start=2), crf=1)
    pictures = tmp_path / "mead" / OUTPUTS["mead"][0]
    pictures.parent.mkdir(parents=True)
    for tick in range(30):
        frame = moving(25)[min(int(tick / 30 * 25 + 0.5), 24)]
        Image.fromarray(frame).save(pictures.with_name(f"gen_{tick + 1:03d}.jpg"), quality=95)
    for method in ("pc_avs", "mead"):
        words = [tmp_path / method, tmp_path / "MEAD", "--method", method, "--crop", "none"]
        words += ["--out", tmp_path / "scores" / method]
        assert main(["score", *map(str, words)]) == 0
    capsys.readouterr()
    return tmp_path / "scores"


def test_frames_meet_the_true_ones_they_belong_to_and_both_stand_in_table_1(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = {name: json.loads((scores / name / "metrics.json").read_text()) for name in ("pc_avs", "mead")}
    assert documents["pc_avs"]["rows"]["per_clip"]["PSNR"] > 40, "two frames late it would be far less"
    assert documents["mead"]["rows"]["per_clip"]["PSNR"] > 30
    assert (documents["pc_avs"]["frames"], documents["mead"]["frames"]) == (19, 24)
    assert documents["pc_avs"]["adapted"]["M003_front_happy_3_001"] == [
        "generated is 48 x 48 px, PC-AVS writes 224 x 224 px",
        "generated begins at frame 2 of the truth",
        "generated has 20 frames, truth 23: the first 20 scored",
    ]
    assert "generated of 30 fps read at 25 fps" in documents["mead"]["adapted"]["M003_front_happy_3_001"]

    words = ["table", "1", f"data.store={tmp_path / 'none'}", "--runs", str(tmp_path / "runs"), "--scored", str(scores)]
    assert main([*words, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    rows = {row["title"]: row for row in table["rows"]}
    for title, name in (("PC-AVS", "pc_avs"), ("MEAD", "mead")):
        assert rows[title]["metrics"]["PSNR"]["mean"] == pytest.approx(documents[name]["rows"]["per_clip"]["PSNR"])
        assert rows[title]["metrics"]["LMD"]["mean"] is None
        assert rows[title]["scored"]["clips"] == 1
    assert rows["PC-AVS"]["metrics"]["PSNR"]["paper"] == 28.97
    assert rows["Wav2Lip"]["scored"] is None
    assert main(words) == 0
    assert "\nPC-AVS: emospace-metrics-v2-whole-frames, 1 clip; whole frames" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"are both PC-AVS; score one with another --name"):
        read_scored([scores, scores / "pc_avs"])


def test_folders_that_score_did_not_write_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains no metrics.json"):
        read_scored([tmp_path])
    (tmp_path / "metrics.json").write_text('{"rows": {}}')
    with pytest.raises(UserError, match=r"is not what emospace score writes"):
        read_scored([tmp_path])


def test_every_value_has_its_definition_and_the_direction_of_our_metric() -> None:
    sources = read_published()
    assert [source.name for source in sources] == ["C-MET", "Xemo-Talker", "KeyFace"]
    for source in sources:
        assert source.protocol
        for metric, facts in source.metrics.items():
            assert facts["definition"]
            assert facts["higher_is_better"] is HIGHER_IS_BETTER[metric]
    assert sources[0].rows["C-MET"]["EmotionAccuracy"] == 55.91


def test_a_value_without_a_definition_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    text = "sources: [{name: N, source: s, protocol: p, metrics: {FID: {definition: d}}, rows: {A: {FVD: 1}}}]"
    path.write_text(text)
    with pytest.raises(UserError, match="N: A: FVD has no definition"):
        read_published(path)
    path.write_text(text.replace("FVD: 1", "FID: much"))
    with pytest.raises(UserError, match="expected a number, not 'much'"):
        read_published(path)
    path.write_text("nothing")
    with pytest.raises(UserError, match="contains no published values"):
        read_published(path)


def test_they_stand_apart_from_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["table", "1", f"data.store={tmp_path / 'none'}", "--runs", str(tmp_path)]
    assert main(words) == 0
    without = capsys.readouterr().out
    assert main([*words, "--with-published"]) == 0
    both = capsys.readouterr().out
    assert both.startswith(without)
    assert "comparable neither with ours nor with each other" in both
    assert "| EDTalk | 6.75 | 8.3 | 73 | 81.02 |" in both
    assert main([*words, "--with-published", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["published"][0]["rows"]["EAT"]["FVD"] == 330.7
    assert not any(row["title"] == "EDTalk" for row in document["rows"])
