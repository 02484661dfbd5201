"""`emospace score`: any method's videos against the true ones, references beside them, nothing dropped in silence."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_writer import emotion_network

from conventions.emotions import EMOTIONS
from datamodules.audio import write_audio
from datamodules.video import read_video
from datamodules.video_writer import write_video
from emospace.cli import main
from emospace.scoring import networks
from emospace.scoring import score as scoring
from metrics.backbones.hsemotion import HSEmotion
from metrics.protocol import METRIC_NAMES
from metrics.suite import Suite

FRAMES, SIZE = 12, 48


@pytest.fixture(autouse=True)
def _no_weights(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_weights" not in request.fixturenames:
        monkeypatch.setenv("EMOSPACE_WEIGHTS", str(tmp_path / "no_weights"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))


def clip(seed: int = 0, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """A smooth pattern that moves by one pixel of 48 a frame; uint8 [t, size, size, 3]."""
    steps = np.arange(frames)[:, None, None] / SIZE
    y, x = np.meshgrid(*2 * [(np.arange(size) + 0.5) / size], indexing="ij")
    waves = [np.sin(2 * np.pi * ((2 + i) * (x + steps) + (1 + i + seed) * y)) for i in range(3)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def write(path: Path, frames: np.ndarray, fps: int = 25) -> Path:
    write_video(path, frames, fps=fps, crf=1)
    return path


def scored(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict:
    assert main(["score", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def method(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict:
    return scored(capsys, *words)["rows"]["per_clip"]


def refusal(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line of a refused call."""
    assert main(["score", *map(str, words)]) == 2
    captured = capsys.readouterr()
    said = [line for line in captured.err.splitlines() if not line.startswith("score: ")]
    assert captured.out == ""
    assert len(said) == 1
    return said[0]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two true videos in MEAD's manner: of the same stem, in folders of their own."""
    for seed, emotion in enumerate(("happy", "sad")):
        write(tmp_path / "truth" / emotion / "001.mp4", clip(seed))
    return tmp_path / "truth"


def test_a_clip_against_itself_is_perfect(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = scored(capsys, truth, truth)
    rows = document["rows"]
    assert rows["per_clip"]["PSNR"] == rows["ground_truth"]["PSNR"] == pytest.approx(100)
    assert rows["per_clip"]["SSIM"] == rows["ground_truth"]["SSIM"] == pytest.approx(1)
    assert rows["copy_source"]["PSNR"] < 30
    assert document["clips"] == 2
    assert document["frames"] == 2 * FRAMES
    assert document["adapted"] == {}
    assert document["protocol"] == "emospace-metrics-v1"


def test_blur_and_shift_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    true = clip()
    soft = torch.nn.functional.avg_pool2d(torch.from_numpy(true).permute(0, 3, 1, 2).float(), 5, 1, 2)
    made = {
        "same": true,
        "blurred": soft.permute(0, 2, 3, 1).byte().numpy(),
        "late_by_1": true[[0, *range(FRAMES - 1)]],
        "late_by_3": true[[0, 0, 0, *range(FRAMES - 3)]],
    }
    write(tmp_path / "truth.mp4", true)
    values = {
        name: method(capsys, write(tmp_path / f"{name}.mp4", frames), tmp_path / "truth.mp4")
        for name, frames in made.items()
    }
    for metric in ("PSNR", "SSIM"):
        assert values["same"][metric] > values["blurred"][metric]
        assert values["same"][metric] > values["late_by_1"][metric] > values["late_by_3"][metric]


def test_paths_then_stems_are_matched(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(truth / "angry" / "007.mp4", clip(2))
    write(tmp_path / "made" / "sad" / "001.avi.mp4", clip(1)).rename(tmp_path / "made" / "sad" / "001.mov")
    write(tmp_path / "made" / "007.mp4", clip(2))
    write(tmp_path / "made" / "other.mp4", clip(3))
    document = scored(capsys, tmp_path / "made", truth, "--out", tmp_path / "out")
    assert document["without_partner"] == {"generated": ["other.mp4"], "truth": ["happy/001.mp4"]}
    assert document["rows"]["per_clip"]["PSNR"] > 60
    with (tmp_path / "out" / "per_clip.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["007", "sad/001"]
    assert all(float(row["PSNR"]) > 60 and row["LMD"] == "" for row in rows), rows
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == document
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("metrics.json", "per_clip.csv", "ground_truth.csv", "copy_source.csv")
    }


def test_pairs_come_from_a_csv(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "made" / "take_a.mp4", clip(1))
    (tmp_path / "pairs.csv").write_text("truth, generated\nsad/001.mp4, take_a.mp4\n")
    right = method(capsys, tmp_path / "made", truth, "--pairs", tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("generated,truth\ntake_a.mp4,happy/001.mp4\n")
    wrong = method(capsys, tmp_path / "made", truth, "--pairs", tmp_path / "pairs.csv")
    assert right["PSNR"] > 60
    assert wrong["PSNR"] < 20


def test_other_rate_size_and_length_are_adapted_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    true = write(tmp_path / "truth.mp4", clip(frames=20))
    twice = np.repeat(clip(frames=15, size=2 * SIZE), 2, axis=0)
    made = write(tmp_path / "made.mp4", twice, fps=50)
    document = scored(capsys, made, true)
    assert document["frames"] == 15
    assert document["adapted"] == {
        "made": [
            "generated of 50 fps read at 25 fps",
            "generated has 15 frames, truth 20: the first 15 scored",
            "generated 96 x 96 px resized to 48 x 48 px",
        ]
    }
    assert document["rows"]["per_clip"]["PSNR"] > document["rows"]["copy_source"]["PSNR"] + 5
    assert main(["score", str(made), str(true)]) == 0
    assert "Adapted made: generated of 50 fps read at 25 fps; " in capsys.readouterr().out


def test_frames_that_are_not_square_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    true = write(tmp_path / "truth.mp4", clip()[:, :32])
    notes = scored(capsys, write(tmp_path / "made.mp4", clip()), true)["adapted"]["made"]
    assert "48 x 48 px resized to 48 x 32 px, which changes its shape" in notes[0]
    assert "not square: LMD" in notes[1]


def test_what_is_missing_is_named_with_its_remedy(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(truth), str(truth), "--name", "mine"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [cell.split(" ")[0] for cell in lines[0].strip("| ").split(" | ")]
    assert names == ["method", *METRIC_NAMES]
    cells = [line.strip("| ").split(" | ") for line in lines[2:5]]
    assert [row[0] for row in cells] == ["mine", "ground truth", "copy source"]
    for row in cells:
        shown = dict(zip(names, row, strict=True))
        assert {name for name in METRIC_NAMES if shown[name] != "missing"} == {"PSNR", "SSIM"}
    for metric, file in (
        ("LMD, LMD_face", "face_landmarker.task"),
        ("CSIM, CSIM_source", "face_landmarker.task"),
        ("Sync, SyncDistance, SyncOffset", "syncnet_v2.model"),
        ("FID", "weights-inception-2015-12-05-6726825d.pth"),
        ("LPIPS", "alexnet-owt-7be5be79.pth"),
        ("EFD, EmotionAccuracy", "faces are cut out by landmarks first: put face_landmarker.task"),
    ):
        assert any(line.startswith(f"Missing {metric}: ") and file in line for line in lines)


class Points:
    """Landmarks that follow the mean colours of a frame; counts the frames it was shown."""

    name, stand_in, seen = "points", False, 0

    def landmarks(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return torch.nn.functional.adaptive_avg_pool2d(images, 9).flatten(1)[:, :136].reshape(-1, 68, 2)


def test_networks_that_are_here_fill_their_columns(
    truth: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = Suite(landmarks=Points())
    monkeypatch.setattr(scoring, "published_suite", lambda weights, device: (suite, {"identity": "get it"}))
    document = scored(capsys, truth, truth)
    assert document["rows"]["per_clip"]["LMD"] == 0
    assert document["rows"]["copy_source"]["LMD"] > 1
    assert document["backbones"] == {"landmarks": "points"}
    assert document["missing"] == {"CSIM": "get it", "CSIM_source": "get it"}


def test_the_emotion_network_is_found_by_its_name_and_says_what_it_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Box(Points):
        def landmarks(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[-0.8, -0.6], [0.8, 0.8]]).repeat(34, 1).expand(len(images), -1, -1)

    monkeypatch.setattr(networks, "_landmarks", lambda path: Box())
    weights, truth = tmp_path / "weights", tmp_path / "M030"
    weights.mkdir()
    (weights / "face_landmarker.task").write_bytes(b"")
    for number, emotion in enumerate(("happy", "sad")):
        write(truth / emotion / "level_2" / "001.mp4", clip(number, frames=3))
    write(truth / "extra.mp4", clip(2, frames=3))
    source = "https://github.com/sb-ai-lab/EmotiEffLib/tree/main/models/affectnet_emotions/onnx"
    suite, missing = networks.published_suite(weights, torch.device("cpu"))
    assert suite.emotion is None
    assert missing["emotion"].startswith(f"put enet_b0_8_best_vgaf.onnx from {source} into {weights}")
    random, always_happy = np.random.default_rng(0), 100 * np.eye(8)[EMOTIONS.index("happy")]
    network = emotion_network(random.normal(size=(3, 1280)), random.normal(size=(1280, 8)) / 40, always_happy)
    (weights / "enet_b0_8_best_vgaf.onnx").write_bytes(network[:-50])
    damaged = f"{weights / 'enet_b0_8_best_vgaf.onnx'}: is no ONNX network"
    assert damaged in refusal(capsys, truth, truth, "--weights", weights)
    (weights / "enet_b0_8_best_vgaf.onnx").write_bytes(network)
    made = scored(capsys, truth, truth, "--weights", weights)
    assert made["backbones"] == {"landmarks": "points", "emotion": "HSEmotion (enet_b0_8_best_vgaf)"}
    rows = made["rows"]
    assert rows["per_clip"]["EFD"] == pytest.approx(0, abs=1e-6)
    assert rows["copy_source"]["EFD"] > 1e-6
    assert rows["per_clip"]["EmotionAccuracy"] == 0.5
    assert rows["per_clip"]["EmotionAccuracy_missing"] == 1


def test_the_wanted_emotion_is_read_from_the_clips_own_labels() -> None:
    expected = {
        "/sad_results/MEAD/M030_front_angry_level3_001.mp4": "angry",
        "/data/happy_2/M030/video/front/fear/level_1/001.mp4": "fear",
        "/data/CREMA-D/1001_DFA_DIS_XX.flv": "disgusted",
        "/data/takes/happy/001.mp4": None,
        "/001.mp4": None,
    }
    found = {path: scoring.emotion_of(Path(path)) for path in expected}
    assert found == {path: None if name is None else EMOTIONS.index(name) for path, name in expected.items()}


def test_landmarks_are_found_once_a_picture() -> None:
    points = Points()
    remembered = networks.RememberedLandmarks(points)
    frames = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(remembered.landmarks(frames), points.landmarks(frames))
    remembered.landmarks(frames.flip(0))
    assert points.seen == 8


def test_faces_are_embedded_once_a_clip() -> None:
    class Colours(Points):
        def embed(self, images: torch.Tensor) -> torch.Tensor:
            self.seen += len(images)
            return images.mean(dim=(2, 3))

    colours, frames = Colours(), torch.rand(4, 3, 16, 16)
    remembered = networks.RememberedIdentity(colours)
    for images in (frames, frames[:1].expand_as(frames), frames, frames[:1]):
        torch.testing.assert_close(remembered.embed(images), images.mean(dim=(2, 3)))
    assert colours.seen == 5


def test_emotions_are_looked_at_once_a_clip() -> None:
    class Colours(HSEmotion):
        def __init__(self) -> None:
            self.seen = 0

        def outputs(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            self.seen += len(images)
            return images.flatten(1)[:, :11], images.flatten(1)[:, 11:19]

    colours, frames = Colours(), torch.rand(4, 3, 16, 16)
    remembered = networks.RememberedEmotion(colours)
    for images in (frames, frames[:1].expand_as(frames), frames):
        torch.testing.assert_close(remembered.features(images), images.flatten(1)[:, :11])
        torch.testing.assert_close(remembered.probabilities(images), images.flatten(1)[:, 11:19])
    assert colours.seen == 5


def test_bad_folders_are_one_line(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'none'}: no such file or folder" in refusal(capsys, tmp_path / "none", truth)
    assert f"{tmp_path / 'empty'}: holds no video" in refusal(capsys, tmp_path / "empty", truth)
    video = write(tmp_path / "other" / "x.mp4", clip())
    assert "no video has the name of one in" in refusal(capsys, tmp_path / "other", truth)
    assert f"{video}: is a file" in refusal(capsys, video, truth)
    write(tmp_path / "other" / "001.mp4", clip())
    assert "001.mp4: may belong to " in refusal(capsys, tmp_path / "other", truth)
    write(tmp_path / "twice" / "001.mp4", clip())
    write(tmp_path / "twice" / "a" / "001.mp4", clip())
    said = refusal(capsys, tmp_path / "twice", write(tmp_path / "single" / "001.mp4", clip()).parent)
    assert "is the truth of two videos" in said
    assert f"{video}: is no folder" in refusal(capsys, truth, truth, "--out", video)


def test_bad_videos_are_one_line(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made" / "happy" / "001.mp4"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"no video at all" * 100)
    assert f"{made}: cannot be decoded" in refusal(capsys, tmp_path / "made", truth)
    made.write_bytes(b"")
    assert f"{made}: the file is empty" in refusal(capsys, tmp_path / "made", truth)
    whole = write(made, clip()).read_bytes()
    made.write_bytes(whole[: whole.index(b"mdat") + 4])
    assert f"{made}: " in refusal(capsys, tmp_path / "made", truth, "--out", tmp_path / "out")
    write_audio(made, np.zeros(16000, np.float32))
    assert f"{made}: has no picture" in refusal(capsys, tmp_path / "made", truth)
    assert not (tmp_path / "out").exists()
    tiny = write(tmp_path / "tiny.mp4", clip(size=8))
    assert f"{tiny}: frames of 8 x 8 px" in refusal(capsys, tiny, tiny)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("generatd,truth\na,b\n", "unknown column 'generatd'; did you mean 'generated'?"),
        ("generated\na\n", "has the columns generated; expected generated,truth"),
        ("generated,truth\n", "names no pair"),
        ("", "has the columns ; expected generated,truth"),
        ("generated,truth\nhappy/001.mp4\n", "line 2: expected two paths"),
        ("generated,truth\nhappy/001.mp4,\n", "line 2: expected two paths"),
        ("generated,truth\nhappy/001.mp4,sad/001.mp4,more\n", "line 2: expected two paths"),
        ("generated,truth\nhappy/001.mp4,sad/002.mp4\n", "sad/002.mp4: no such file (column truth of "),
        ("generated,truth\nhappy/001.mp4,sad/001.mp4\nhappy/001.mp4,happy/001.mp4\n", "stands already in line 2"),
        ("generated,truth\n\x00\n", "pairs.csv"),
    ],
)
def test_bad_csv_is_one_line(
    text: str, said: str, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.csv").write_text(text)
    line = refusal(capsys, truth, truth, "--pairs", tmp_path / "pairs.csv")
    assert said in line
    assert "pairs.csv" in line


def test_absent_or_binary_csv_is_one_line(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no.csv: no such file" in refusal(capsys, truth, truth, "--pairs", tmp_path / "no.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)))
    assert "binary.csv: is no CSV text" in refusal(capsys, truth, truth, "--pairs", tmp_path / "binary.csv")


@pytest.mark.real
def test_real_faces(real_data: Path, real_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mediapipe")
    pytest.importorskip("onnxruntime")
    people = [read_video(path, 6) for path in sorted((real_data / "talking").glob("*.mp4"))[:2]]
    for name, made in (("itself", people[0]), ("late", people[0][[0, 0, 0, *range(3)]]), ("other", people[1])):
        write(tmp_path / name / "001.mp4", made)
    rows = {
        name: scored(capsys, tmp_path / name, tmp_path / "itself", "--weights", real_weights)["rows"]
        for name in ("itself", "late", "other")
    }
    itself, late, other = (rows[name]["per_clip"] for name in ("itself", "late", "other"))
    assert itself["LMD"] == 0
    assert itself["CSIM"] == pytest.approx(1)
    assert 0 < late["LMD"] < other["LMD"]
    assert other["CSIM"] < 0.5 < 0.8 < late["CSIM"]
    assert itself["frames_without_face"] == late["frames_without_face"] == other["frames_without_face"] == 0
    assert rows["itself"]["copy_source"]["LMD"] > 0
