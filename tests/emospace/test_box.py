"""The model in the box: packed into every installation, within its size, with its terms, and ready to talk."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from setuptools import Distribution

from datamodules.audio import write_audio
from datamodules.video import iterate_frames
from emospace.cli import main
from emospace.demo import write_astronaut
from emospace.talker import BOX, model_in_the_box
from emospace.talking.model_file import read_model

LARGEST = 12_000_000


@pytest.fixture(scope="module")
def box() -> Path:
    path = model_in_the_box()
    assert path is not None
    return path


def test_it_is_package_data(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    distribution = Distribution()
    distribution.parse_config_files()
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    files = {f"{source}/{name}" for _, source, _, names in build.data_files for name in names}
    packed = {Path(name).relative_to(os.fspath(Path("emospace"))).name for name in files if name.endswith(BOX)}
    assert packed == {BOX}


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
    """The command itself, with few and small batches, twice: the second call finds all done."""
    steps = [f"{name}.steps=2" for name in ("prior.clip", "judges.critics", "ame", "eac", "hef")]
    small = ["world.preset=tiny", "hef.resolution=16", "hef.batch_size=2", "ame.batch_size=4", "eac.batch_size=2"]
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-m", "emospace.box", "--out", "made.emospace", *steps, *small]
    environment = {**os.environ, "PYTHONPATH": root, "WANDB_MODE": "disabled"}
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
        card = read_model(tmp_path / "made.emospace").card
        (tmp_path / "made.emospace").unlink()
    assert card["training_clips"] == card["attribution"] == []
    assert "toy world, not on MEAD" in json.dumps(card["stand_ins"])
    shutil.rmtree(tmp_path / "work")
