"""The model in the box: packed into every installation, within its size, with its terms, and ready to talk."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from datamodules.audio import write_audio
from datamodules.video import iterate_frames
from emospace.cli import main
from emospace.demo import write_astronaut
from emospace.talker import BOX, model_in_the_box
from emospace.talking.model_file import read_model

ROOT = Path(__file__).parents[2]
LARGEST = 12_000_000


@pytest.fixture(scope="module")
def box() -> Path:
    path = model_in_the_box()
    assert path is not None
    return path


def test_a_wheel_holds_it(box: Path, tmp_path: Path) -> None:
    """Built from a copy of what a wheel of this package needs: the build leaves files where it works."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "emospace", tmp_path / "emospace", ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert packed.read(f"emospace/models/{BOX}") == box.read_bytes()


def test_it_is_small_and_states_its_terms(box: Path) -> None:
    assert box.stat().st_size <= LARGEST
    parts = read_model(box)
    assert set(parts.states) == {"clip", "ame", "eac", "hef"}
    assert parts.configs["hef"]["resolution"] == 128
    card = parts.card
    assert card["command"] == "make model"
    assert card["stand_ins"]
    assert card["data"]["hash"]
    assert card["metrics"]
    assert all(name.startswith("vox_") for name in card["training_clips"])
    terms = " ".join([*card["licences"], *card["attribution"]])
    assert "MIT" in terms
    assert ("CC BY 4.0" in terms and "VoxCeleb2" in terms) == bool(card["training_clips"])


def test_it_talks_anywhere(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    portrait = write_astronaut(tmp_path)
    sound = np.sin(np.arange(16000 * 2 // 5) * 0.1) * np.sin(np.arange(16000 * 2 // 5) * 0.001)
    write_audio(tmp_path / "me.wav", sound.astype(np.float32))
    words = ["talk", "--portrait", str(portrait), "--audio", "me.wav", "--emotion", "quietly happy", "--out", "me.mp4"]
    assert main([*words, "--size", "128"]) == 0
    shown = capsys.readouterr().out
    assert f"model: {box}" in shown
    assert "not on MEAD" in shown
    frames = [frame.rgb() for frame in iterate_frames(tmp_path / "me.mp4")]
    assert len(frames) == 10
    assert frames[0].shape == (128, 128, 3)
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 20, "it moves"


@pytest.mark.slow
def test_make_model_trains_and_goes_on(tmp_path: Path) -> None:
    """The command itself, with few and small batches, twice: the second call finds all done, and its own EAC."""
    steps = [f"{name}.steps=2" for name in ("prior.clip", "judges.critics", "ame", "eac", "hef")]
    small = ["world.preset=tiny", "hef.resolution=16", "hef.batch_size=2", "ame.batch_size=4", "eac.batch_size=2"]
    command = [sys.executable, "-m", "emospace.box", "--out", "made.emospace", *steps, *small]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "disabled"}
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        card = read_model(tmp_path / "made.emospace").card
        (tmp_path / "made.emospace").unlink()
        another = ["-m", "emospace.cli", "run", "model", "--stage", "eac", "eac.data.coefficients=measured"]
        subprocess.run([sys.executable, *another, *steps, *small], cwd=tmp_path, env=environment, check=True)
    assert card["training_clips"] == card["attribution"] == []
    assert "toy world, not on MEAD" in json.dumps(card["stand_ins"])
    shutil.rmtree(tmp_path / "work")
