"""`emospace score`: any method's videos against the true ones, references beside them, nothing dropped in silence."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.audio import write_audio
from datamodules.video import read_video
from datamodules.video_writer import write_video
from emospace.cli import main
from emospace.scoring import score as scoring
from emospace.scoring.clips import labels_of
from metrics.networks import Networks
from metrics.protocol import METRIC_NAMES

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


def scored(capsys: pytest.CaptureFixture[str], *words: str | Path, crop: str = "none") -> dict:
    assert main(["score", *map(str, words), "--crop", crop, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def method(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict:
    return scored(capsys, *words)["rows"]["per_clip"]


def refusal(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line of a refused call."""
    assert main(["score", *map(str, words), "--crop", "none"]) == 2
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
    assert document["frames"] == 2 * (FRAMES - 1), "the source is not scored"
    assert document["adapted"] == {}
    assert document["protocol"] == "emospace-metrics-v2-whole-frames"


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
    assert document["frames"] == 14
    assert document["adapted"] == {
        "made": [
            "generated of 50 fps read at 25 fps",
            "generated has 15 frames, truth 20: the first 15 scored",
            "generated 96 x 96 px resized to 48 x 48 px",
        ]
    }
    assert document["rows"]["per_clip"]["PSNR"] > document["rows"]["copy_source"]["PSNR"] + 5
    assert main(["score", str(made), str(true), "--crop", "none"]) == 0
    assert "Adapted made: generated of 50 fps read at 25 fps; " in capsys.readouterr().out


def test_a_changed_shape_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    true = write(tmp_path / "truth.mp4", clip()[:, :32])
    notes = scored(capsys, write(tmp_path / "made.mp4", clip()), true)["adapted"]["made"]
    assert notes == ["generated 48 x 48 px resized to 48 x 32 px, which changes its shape"]


def test_what_is_missing_is_named_with_its_remedy(truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(truth), str(truth), "--name", "mine", "--crop", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [cell.split(" ")[0] for cell in lines[0].strip("| ").split(" | ")]
    assert names == ["method", *METRIC_NAMES]
    cells = [line.strip("| ").split(" | ") for line in lines[2:5]]
    assert [row[0] for row in cells] == ["mine", "ground truth", "copy source"]
    for row in cells:
        shown = dict(zip(names, row, strict=True))
        assert {name for name in METRIC_NAMES if shown[name] != "missing"} == {"PSNR", "SSIM"}
    for metric, file in (
        ("LMD, LMD_face, LipDynamics, EyebrowDynamics, SilentLips, LipSync", "face_landmarker.task"),
        ("CSIM, CSIM_source", "face_recognition_sface.onnx"),
        ("Sync, SyncDistance, SyncOffset", "syncnet_v2.model"),
        ("FID", "weights-inception-2015-12-05-6726825d.pth"),
        ("LPIPS", "alexnet-owt-7be5be79.pth"),
        ("EFD, EmotionAccuracy", "enet_b0_8_best_vgaf.onnx"),
        ("FVD", "videomae-base/model.safetensors"),
        ("EFID", "epoch_20.pth"),
    ):
        assert any(line.startswith(f"Missing {metric}: ") and file in line for line in lines), metric
    assert main(["score", str(truth), str(truth)]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "faces are cut by landmarks: face_landmarker.task" in line
    assert line.endswith("or give --crop none, which scores whole frames")
    assert main(["score", str(truth), str(truth), "--networks", "published"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "landmarks network is missing: face_landmarker.task" in line
    assert "standin" not in line, "score trains none"
    assert main(["score", str(truth), str(truth), "--networks", "standin", "--crop", "none"]) == 2
    assert "stand-ins are trained by a run" in capsys.readouterr().err


class Points:
    """A face whose mouth follows the brightness of the lower half; none in a black frame. Counts what it is shown."""

    name, stand_in, seen = "points", False, 0
    file = None

    def landmarks(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        points = face(len(images))
        points[:, 57:60, 1] += 0.1 * images[:, :, images.shape[2] // 2 :].mean(dim=(1, 2, 3))[:, None]
        return points.masked_fill((images <= -0.9).flatten(1).all(dim=1)[:, None, None], torch.nan)


def face(frames: int) -> torch.Tensor:
    """Landmarks of an upright face in [-1, 1]."""
    angle = torch.linspace(0, 6, 68)
    points = torch.stack([0.3 * angle.cos(), 0.3 * angle.sin()], dim=1)
    points[36:42] = torch.tensor([-0.15, -0.1]) + 0.02 * torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    points[42:48] = torch.tensor([0.15, -0.1]) + 0.02 * torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    points[27:36] = torch.tensor([0.0, 0.05]) + 0.02 * torch.randn(9, 2, generator=torch.Generator().manual_seed(2))
    points[[30, 48, 54]] = torch.tensor([[0.0, 0.05], [-0.1, 0.2], [0.1, 0.2]])
    return points.expand(frames, -1, -1).clone()


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Points:
    """The only network that is here."""
    network = Points()
    monkeypatch.setattr(scoring, "load_networks", lambda *args, **kwargs: Networks(landmarks=network))
    return network


def test_networks_that_are_here_fill_their_columns(
    truth: Path, capsys: pytest.CaptureFixture[str], points: Points
) -> None:
    document = scored(capsys, truth, truth, crop="wide-v1")
    assert document["rows"]["per_clip"]["LMD"] == 0
    assert document["rows"]["copy_source"]["LMD"] > 0
    assert document["backbones"] == {"landmarks": "points"}
    assert document["protocol"] == "emospace-metrics-v2"
    assert points.seen == 4 * FRAMES, "each video is looked at once, whatever the number of rows"


def test_a_clip_without_a_face_is_refused_by_name_and_the_others_are_scored(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], points: Points
) -> None:
    write(truth / "angry" / "002.mp4", np.zeros_like(clip()))
    document = scored(capsys, truth, truth, "--out", tmp_path / "out", crop="wide-v1")
    assert document["refused"] == {"angry/002": "no face in the truth"}
    assert document["clips"] == 3
    assert document["rows"]["per_clip"]["PSNR"] > 90
    assert document["rows"]["per_clip"]["PSNR_missing"] == 1
    with (tmp_path / "out" / "per_clip.csv").open() as file:
        row = next(csv.DictReader(file))
    assert (row["id"], row["PSNR"], row["why"]) == ("angry/002", "", "all: no face in the truth")


def test_a_generated_video_without_a_face_has_reasons_and_its_pictures_are_scored(
    truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], points: Points
) -> None:
    made = write(tmp_path / "made.mp4", np.zeros_like(clip()))
    document = scored(capsys, made, truth / "happy" / "001.mp4", crop="wide-v1")
    rows = document["rows"]["per_clip"]
    assert rows["PSNR"] < 20
    assert rows["LMD"] is None
    assert "LMD: no face in the generated video" in document["why"]["made"]
    assert "SilentLips: no audio" in document["why"]["made"]
    assert rows["frames_without_face"] == FRAMES - 1


def test_a_crop_is_registered_to_the_truth_by_its_landmarks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bright(Points):
        """Finds the face as a bright square: of 40 px in frames of 96 x 160, wherever it lies."""

        def landmarks(self, images: torch.Tensor) -> torch.Tensor:
            found = []
            for image in images.mean(dim=1):
                y, x = (image > 0.3).nonzero().unbind(1)
                size = torch.tensor([image.shape[1], image.shape[0]])
                centre = torch.stack([(x.min() + x.max() + 1) / 2, (y.min() + y.max() + 1) / 2])
                half = (x.max() - x.min() + 1) / 2
                found.append((centre + face(1)[0] * half) / size * 2 - 1)
            return torch.stack(found)

    monkeypatch.setattr(scoring, "load_networks", lambda *args, **kwargs: Networks(landmarks=Bright()))
    frames = np.full((6, 96, 160, 3), 20, np.uint8)
    for index in range(6):
        frames[index, 30:70, 60 + index : 100 + index] = 200
        frames[index, 40:60, 70 + index : 90 + index] = 215 + index
    crop = frames[:, 14:86, 46:118].repeat(2, axis=1).repeat(2, axis=2)
    write(tmp_path / "truth.mp4", frames)
    document = scored(capsys, write(tmp_path / "made.mp4", crop), tmp_path / "truth.mp4", crop="wide-v1")
    [note] = document["adapted"]["made"]
    assert note == (
        "generated 144 x 144 px is a crop: registered in 160 x 96 px by landmarks (scale 0.500, shift 46, 14 px)"
    )
    assert document["rows"]["per_clip"]["PSNR"] > 28
    assert document["rows"]["per_clip"]["LMD"] < 0.5


def test_a_scored_folder_is_checked_again(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made"
    for seed, emotion in enumerate(("happy", "sad")):
        write(made / emotion / "001.mp4", clip(seed + 3))
    words = ["score", str(made), str(truth), "--crop", "none"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert main([*words, "--check", str(tmp_path / "out")]) == 0
    assert "every file and value is as it was scored" in capsys.readouterr().err
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert len(document["files_sha256"]["happy/001"]["generated"]) == 64
    document["rows"]["per_clip"]["PSNR"] += 1
    (tmp_path / "out" / "metrics.json").write_text(json.dumps(document))
    assert main([*words, "--check", str(tmp_path / "out")]) == 1
    assert "per_clip: PSNR was" in capsys.readouterr().err
    write(made / "sad" / "001.mp4", clip(9))
    assert main([*words, "--check", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out == "sad/001: the generated video is another file\n"
    assert main([*words, "--check", str(tmp_path)]) == 2


def test_scores_are_broken_down_by_a_label(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate(
        ("M003/front/happy/level_1/001", "M003/front/sad/level_2/001", "W009/front/sad/level_2/001")
    ):
        write(tmp_path / "MEAD" / f"{name}.mp4", clip(seed))
        write(tmp_path / "made" / f"{name}.mp4", clip(seed + (seed == 2)))
    words = tmp_path / "made", tmp_path / "MEAD"
    by = {label: scored(capsys, *words, "--by", label)["by"] for label in ("emotion", "level", "actor")}
    assert {label: {group: means["clips"] for group, means in groups.items()} for label, groups in by.items()} == {
        "emotion": {"happy": 1, "sad": 2}, "level": {"1": 1, "2": 2}, "actor": {"M003": 2, "W009": 1},
    }  # fmt: skip
    assert by["actor"]["W009"]["PSNR"] < 30 < by["actor"]["M003"]["PSNR"]
    assert main(["score", *map(str, words), "--crop", "none", "--by", "actor"]) == 0
    assert "| actor | clips | PSNR | SSIM |" in capsys.readouterr().out


def test_the_wanted_emotion_is_read_from_the_clips_own_labels() -> None:
    expected = {
        "/sad_results/MEAD/M030_front_angry_level3_001.mp4": "angry",
        "/data/happy_2/M030/video/front/fear/level_1/001.mp4": "fear",
        "/data/CREMA-D/1001_DFA_DIS_XX.flv": "disgusted",
        "/data/takes/happy/001.mp4": None,
        "/001.mp4": None,
    }
    found = {path: labels_of(Path(path))["emotion"] or None for path in expected}
    assert found == expected


def test_bad_folders_are_one_line(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'none'}: no such file or folder" in refusal(capsys, tmp_path / "none", truth)
    assert f"{tmp_path / 'empty'}: contains no video" in refusal(capsys, tmp_path / "empty", truth)
    video = write(tmp_path / "other" / "x.mp4", clip())
    assert "no video has the name of one in" in refusal(capsys, tmp_path / "other", truth)
    assert f"{video}: is a file" in refusal(capsys, video, truth)
    write(tmp_path / "other" / "001.mp4", clip())
    assert "001.mp4: may belong to " in refusal(capsys, tmp_path / "other", truth)
    write(tmp_path / "twice" / "001.mp4", clip())
    write(tmp_path / "twice" / "a" / "001.mp4", clip())
    said = refusal(capsys, tmp_path / "twice", write(tmp_path / "single" / "001.mp4", clip()).parent)
    assert "is the true video of both" in said
    assert f"{video}: is not a folder" in refusal(capsys, truth, truth, "--out", video)


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
    assert f"{made}: has no video" in refusal(capsys, tmp_path / "made", truth)
    assert not (tmp_path / "out").exists()
    tiny = write(tmp_path / "tiny.mp4", clip(size=8))
    assert f"{tiny}: frames of 8 x 8 px" in refusal(capsys, tiny, tiny)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("generatd,truth\na,b\n", "unknown column 'generatd'; did you mean 'generated'?"),
        ("generated\na\n", "has the columns generated; expected generated,truth"),
        ("generated,truth\n", "lists no pair"),
        ("", "has the columns ; expected generated,truth"),
        ("generated,truth\nhappy/001.mp4\n", "line 2: expected two paths"),
        ("generated,truth\nhappy/001.mp4,\n", "line 2: expected two paths"),
        ("generated,truth\nhappy/001.mp4,sad/001.mp4,more\n", "line 2: expected two paths"),
        ("generated,truth\nhappy/001.mp4,sad/002.mp4\n", "sad/002.mp4: no such file (column truth of "),
        ("generated,truth\nhappy/001.mp4,sad/001.mp4\nhappy/001.mp4,happy/001.mp4\n", "is already in line 2"),
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
    assert "binary.csv: is not CSV text" in refusal(capsys, truth, truth, "--pairs", tmp_path / "binary.csv")


@pytest.mark.real
def test_real_faces(real_data: Path, real_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mediapipe")
    pytest.importorskip("onnxruntime")
    people = [read_video(path, 6) for path in sorted((real_data / "talking").glob("*.mp4"))[:2]]
    for name, made in (("itself", people[0]), ("late", people[0][[0, 0, 0, *range(3)]]), ("other", people[1])):
        write(tmp_path / name / "001.mp4", made)
    rows = {
        name: scored(capsys, tmp_path / name, tmp_path / "itself", "--weights", real_weights, crop="wide-v1")["rows"]
        for name in ("itself", "late", "other")
    }
    itself, late, other = (rows[name]["per_clip"] for name in ("itself", "late", "other"))
    assert itself["LMD"] == 0
    assert itself["CSIM"] == pytest.approx(1)
    assert 0 < late["LMD"] < other["LMD"]
    assert other["CSIM"] < 0.5 < 0.8 < late["CSIM"]
    assert itself["frames_without_face"] == late["frames_without_face"] == other["frames_without_face"] == 0
    assert rows["itself"]["copy_source"]["LMD"] > 0
