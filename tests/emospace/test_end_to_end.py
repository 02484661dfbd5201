"""The whole thread in one tiny world: data, every stage for a few batches, table, report, a talking face, bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from conventions.rates import VIDEO_FPS
from datamodules.audio import read_audio, write_audio
from datamodules.video import read_video
from emospace.cli import main
from experiments.rundir import list_runs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
WORDS = [
    *("world.preset=tiny", "prior.clip.steps=2", "judges.steps=2", "judges.critics.steps=2", "ame.steps=2"),
    *("eac.steps=2", "hef.steps=2", "evaluate.max_clips=2", "tracking.mode=disabled"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which `emospace run demo` has made everything."""
    folder, before = tmp_path_factory.mktemp("home"), Path.cwd()
    os.chdir(folder)
    try:
        assert main(["run", "demo", *WORDS]) == 0
        yield folder
    finally:
        os.chdir(before)


def ids_of(runs: Path, stage: str) -> list[str]:
    """The finished runs of a stage."""
    return [run.id for run in list_runs(runs) if (run.stage, run.state) == (stage, "done")]


def id_of(home: Path, stage: str) -> str:
    """The one finished run of a stage."""
    [run] = ids_of(home / "runs", stage)
    return run


def talk(home: Path, *words: str) -> int:
    """`emospace talk` with the evaluated networks, unless `words` name others."""
    portrait, speech = home / "work/demo-mead/portraits/W101.png", home / "speech.wav"
    if not speech.exists():
        write_audio(speech, np.sin(np.arange(16_000) / 30).astype(np.float32) / 2)
    given = {"--portrait": str(portrait), "--audio": str(speech), "--emotion": "quietly happy", "--out": "out.mp4"}
    given |= dict(zip(words[::2], words[1::2], strict=True))
    if not given.keys() & {"--run", "--preset", "--model"}:
        given["--run"] = id_of(home, "evaluate")
    return main(["talk", *[word for pair in given.items() for word in pair]])


def in_process_of_its_own(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`emospace` as a user starts it."""
    command, environment = [sys.executable, "-m", "emospace.cli", *words], {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_every_stage_is_done_and_nothing_is_done_twice(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)
    assert {run["state"] for run in runs} == {"done"}
    stages = ["ame", "clip", "critics", "eac", "evaluate", "hef", "judges", "references"]
    assert sorted(run["stage"] for run in runs) == stages
    assert all(run["id"].startswith(f"{run['stage']}.s0.") for run in runs)
    assert {run["experiment"] for run in runs} == {"demo"}
    stamps = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert main(["run", "demo", *WORDS]) == 0
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == stamps


def test_two_processes_train_hef_together(home: Path) -> None:
    """And AME; the stand-ins are there already."""
    runs = shutil.copytree(home / "runs", home / "runs-of-two")
    words = ["run", "demo", "--stage", "hef", "--runs", str(runs), *WORDS, "hef.steps=3", "trainer.devices=2"]
    words += ["trainer.accelerator=cpu", "trainer.log_every=1", "trainer.checkpoint_every=2"]
    done = in_process_of_its_own(home, *words)  # asserts that their weights agree
    assert done.returncode == 0, done.stderr
    [hef] = set(ids_of(runs, "hef")) - {id_of(home, "hef")}
    assert OmegaConf.load(runs / hef / "config.yaml")["trainer"]["devices"] == 2
    history = [json.loads(line) for line in (runs / hef / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in history] == [1, 2, 3]
    assert not list((runs / hef).glob("rank*"))
    assert len(ids_of(runs, "clip")) == 1, "stand-ins are the same run"


def test_figure_6_is_drawn_and_figure_11_names_the_command_that_it_needs(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["figure", "6", "--preset", "demo", "--rows", "2", "--out", "six.png", *WORDS]) == 0
    with Image.open(home / "six.png") as picture:
        assert picture.width > picture.height > 300
    assert main(["figure", "6", "--preset", "demo", "--rows", "2", "--out", "six.mp4", *WORDS]) == 0
    assert read_video(home / "six.mp4").shape[1:] == (128, 5 * 64, 3)
    capsys.readouterr()
    assert main(["figure", "11", "--preset", "demo", *WORDS]) == 2
    assert "`emospace run demo --variant hef_wo_res --seed 0 world.preset=tiny" in said(capsys)
    assert main(["figure", "6", "--preset", "demo", "--out", "six.gif", *WORDS]) == 2
    assert ".png or .mp4" in said(capsys)


def test_table_and_report_show_the_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["table", "3", "--preset", "demo", "--json", *WORDS]) == 0
    table = json.loads(capsys.readouterr().out)
    counts = [row["metrics"]["EFD"]["n"] for row in table["rows"]]
    assert {0, 1} <= set(counts), "the full model is there, the variants are missing"
    assert main(["report", "report.html", "--preset", "demo"]) == 0
    page = (home / "report.html").read_text()
    assert id_of(home, "hef") in page
    assert "data:video/mp4;base64," in page


def portrait_size(home: Path) -> tuple[int, int]:
    with Image.open(home / "work/demo-mead/portraits/W101.png") as image:
        return image.height, image.width


def test_talk_writes_sound_and_picture_of_the_speech(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk(home) == 0
    out = capsys.readouterr().out
    assert "quietly happy (text, intensity" in out
    assert f"model: run {id_of(home, 'evaluate')}" in out
    assert "stand-in" in out
    assert read_video(home / "out.mp4").shape == (VIDEO_FPS, *portrait_size(home), 3)
    assert len(read_audio(home / "out.mp4")) == pytest.approx(16_000, abs=2_048)


def test_two_portraits_speak_with_the_head_motion_of_a_clip(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk(home, "--pose", "still") == 0
    portraits = [str(home / f"work/demo-mead/portraits/{name}.png") for name in ("W101", "M101")]
    clip = sorted((home / "work/demo-mead").glob("*/video/front/*/*/*.mp4"))[0]
    words = ["--audio", "speech.wav", "--emotion", "quietly happy", "--pose", str(clip), "--out", "both", "--json"]
    words += ["--run", id_of(home, "evaluate")]
    capsys.readouterr()
    assert main(["talk", "--portrait", *portraits, *words]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert [report["out"] for report in reports] == ["both/W101.mp4", "both/M101.mp4"]
    assert {report["pose"] for report in reports} == {str(clip)}
    still, moved = read_video(home / "out.mp4").astype(int), read_video(home / "both/W101.mp4").astype(int)
    assert moved.shape == still.shape == (VIDEO_FPS, *portrait_size(home), 3)
    differences = np.abs(moved - still).mean((1, 2, 3))
    assert differences.argmin() == 0, "the face starts where the portrait is (but for the coding of what follows)"
    assert differences.max() > 1.3 * differences[0], "then it moves"
    assert len(read_audio(home / "both/M101.mp4")) == pytest.approx(16_000, abs=2_048)


def test_one_bad_portrait_among_many_is_left_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk(home) == 0
    (home / "no.png").write_text("this is no picture")
    portraits = [str(home / "work/demo-mead/portraits/W101.png"), "no.png", "nobody.png"]
    words = ["--audio", "speech.wav", "--emotion", "sad", "--crop", "--size", "32", "--json"]
    words += ["--run", id_of(home, "evaluate")]
    capsys.readouterr()
    assert main(["talk", "--portrait", *portraits, *words, "--out", "some"]) == 1
    shown = capsys.readouterr()
    assert [name in line for name, line in zip(("no.png", "nobody.png"), said_of(shown.err), strict=True)] == [True] * 2
    assert [path.name for path in (home / "some").iterdir()] == ["W101.mp4"]
    made, *refused = json.loads(shown.out)
    assert made["emotions"][0]["modality"] == "text"
    assert [set(each) for each in refused] == [{"portrait", "reason"}] * 2
    assert main(["talk", "--portrait", *portraits, *words, "--out", "none", "--strict"]) == 2
    assert not (home / "none").exists()


def said_of(text: str) -> list[str]:
    """The lines about what was left out."""
    return [line for line in text.splitlines() if "left out" in line]


def test_a_model_file_talks_like_its_run_from_anywhere(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where neither run nor store can be reached; a HEF that was never evaluated talks, too."""
    assert talk(home) == 0
    assert main(["export", id_of(home, "evaluate"), str(tmp_path / "a.emospace")]) == 0
    assert (tmp_path / "a.emospace").stat().st_size < 60e6
    for path in (home / "work/demo-mead/portraits").glob("W101.*"):
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["--portrait", "W101.png", "--audio", str(home / "speech.wav"), "--emotion", "quietly happy"]
    assert main(["talk", *words, "--model", "a.emospace", "--out", "a.mp4"]) == 0
    assert (tmp_path / "a.mp4").read_bytes() == (home / "out.mp4").read_bytes()
    runs = ["--runs", str(home / "runs")]
    assert main(["talk", *words, *runs, "--run", id_of(home, "hef"), "--out", "b.mp4"]) == 0
    assert (tmp_path / "b.mp4").read_bytes() == (home / "out.mp4").read_bytes()


def test_a_stopped_talk_leaves_nothing_and_two_at_once_each_a_whole_film(home: Path) -> None:
    assert talk(home) == 0
    write_audio(home / "long.wav", np.sin(np.arange(16_000 * 60) / 30).astype(np.float32) / 2)
    given = ["--portrait", "work/demo-mead/portraits/W101.png", "--emotion", "sad", "--crop", "--size", "32"]
    given += ["--run", id_of(home, "evaluate")]
    command = [sys.executable, "-P", "-m", "emospace.cli", "talk", *given]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, *words], cwd=home, env=environment, stderr=subprocess.DEVNULL)

    pair = [start("--audio", "speech.wav", "--out", "pair/a.mp4") for _ in range(2)]
    long = start("--audio", "long.wav", "--out", "stopped/a.mp4")
    while not list((home / "stopped").glob(".*")) and long.poll() is None:
        time.sleep(0.05)
    long.send_signal(signal.SIGTERM)
    assert long.wait() == 128 + signal.SIGTERM
    assert not list((home / "stopped").iterdir())
    assert [each.wait() for each in pair] == [0, 0]
    assert [path.name for path in (home / "pair").iterdir()] == ["a.mp4"]
    assert len(read_video(home / "pair/a.mp4")) == VIDEO_FPS


@pytest.mark.parametrize("kind", ["image", "sound"])
def test_emotion_from_a_file(home: Path, kind: str) -> None:
    file = home / "work/demo-mead/portraits/M101.png" if kind == "image" else home / "speech.wav"
    assert talk(home, "--emotion", str(file), "--level", "2", "--out", f"{kind}.mp4") == 0
    assert (home / f"{kind}.mp4").exists()


def test_bad_input_to_talk_is_one_line_and_leaves_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with wave.open(str(home / "empty.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
    (home / "cut.mp4").write_bytes(next(home.rglob("video/**/*.mp4")).read_bytes()[:3000])
    (home / "no.png").write_text("this is no picture")
    cases = [
        (("--emotion", " "), "empty"),
        (("--audio", "empty.wav"), "empty.wav"),
        (("--audio", "cut.mp4"), "cut.mp4"),
        (("--portrait", "no.png"), "no.png"),
        (("--portrait", "nobody.png"), "nobody.png"),
        (("--level", "7"), "0..3"),
        (("--pose", "nowhere.mp4"), "nowhere.mp4"),
        (("--pose", "cut.mp4"), "cut.mp4"),
        (("--pose", "stil"), "still"),
        (("--run", "nothing"), "nothing"),
        (("--preset", "nothing"), "nothing"),
        (("--model", "nothing.emospace"), "nothing.emospace"),
        (("--model", "no.png"), "no.png"),
        (("--emotion", "0:calm 0:sad"), "does not come after"),
        (("--emotion", "missing.mov"), "missing.mov"),
        (("--size", "63"), "size"),
        (("--background", "blu"), "blu"),
    ]
    for words, text in cases:
        assert talk(home, *words, "--out", "bad.mp4") == 2, words
        assert text in said(capsys)
    assert not list(home.glob("*bad*"))


def test_portrait_without_weights_says_where_to_get_them(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("EMOSPACE_WEIGHTS", raising=False)
    shutil.copy(home / "work/demo-mead/portraits/W101.png", home / "alone.png")
    assert talk(home, "--portrait", "alone.png") == 2
    assert "face_landmarker.task" in said(capsys)


def test_checkpoint_of_another_shape_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(home / "runs", runs)
    path = runs / id_of(home, "eac") / "checkpoints/final.pt"
    content = torch.load(path, weights_only=True)
    name = next(iter(content["state_dict"]))
    content["state_dict"][name] = torch.zeros(3, 5, 7)
    torch.save(content, path)
    assert talk(home, "--runs", str(runs)) == 2
    assert name in said(capsys)


def real_talk(home: Path, weights: Path, portrait: Path, speech: Path) -> subprocess.CompletedProcess[str]:
    given = ["--portrait", portrait, "--audio", speech, "--emotion", "quietly happy", "--out", "real.mp4"]
    return in_process_of_its_own(home, "talk", *map(str, given), "--weights", str(weights))


@pytest.mark.real
def test_a_real_portrait_speaks(home: Path, real_data: Path, real_weights: Path) -> None:
    speech = real_data / "talking/speaker_3.wav"
    done = real_talk(home, real_weights, real_data / "portraits/astronaut.png", speech)
    assert done.returncode == 0, done.stderr
    assert len(read_video(home / "real.mp4")) == int(len(read_audio(speech)) / 16_000 * VIDEO_FPS)


@pytest.mark.real
def test_a_portrait_without_a_face_is_refused(home: Path, real_data: Path, real_weights: Path) -> None:
    Image.fromarray(np.full((300, 300, 3), 127, np.uint8)).save(home / "wall.png")
    done = real_talk(home, real_weights, home / "wall.png", real_data / "talking/speaker_3.wav")
    assert done.returncode == 2
    assert "wall.png: no face found" in done.stderr


@pytest.mark.real
def test_eac_trains_on_real_coefficients(
    home: Path, real_data: Path, real_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("EMOSPACE_WEIGHTS", raising=False)
    for file in [path for name in ("speaker_3", "speaker_4") for path in (real_data / "talking").glob(f"{name}.*")]:
        target = home / "talking" / file.name
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(file)
    prepare = ["prepare", "talking", "talking-store", "--coefficients", "mat", "--size", "64"]
    assert main([*prepare, "--weights", str(real_weights)]) == 0  # the files lack rows; the face landmarker finds which
    words = ["data.store=talking-store", "data.split=talking", "world.fills_store=false", "ame.steps=0"]
    losses = ["eac.weights.mouth=0", "eac.weights.emotion=0", "eac.steps=5"]
    runs = ["--runs", "talking-runs"]
    assert main(["run", "demo", "--stage", "eac", *runs, *WORDS[:5], *WORDS[6:], *words, *losses]) == 0
