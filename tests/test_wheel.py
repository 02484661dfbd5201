"""The built wheel, installed beside nothing of the checkout: commands find all that they need in it."""

import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from tiny_model import parts_of, tiny_modules

from conventions.rates import VIDEO_FPS
from datamodules.audio import write_audio
from datamodules.video import read_video
from emospace.demo import write_astronaut
from emospace.talking.model_file import write_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with the packages that this test runs with."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    offline = ["--no-deps", "--no-index", "--quiet"]
    wheel = [sys.executable, "-m", "pip", "wheel", ".", "--no-build-isolation", "-w", str(folder), *offline]
    subprocess.run(wheel, cwd=copy, check=True)
    shutil.rmtree(copy)
    venv.create(folder / "env", symlinks=True)
    python = folder / "env/bin/python"
    found = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], capture_output=True, text=True
    )
    packages = Path(found.stdout.strip())
    [built] = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", str(built), *offline]
    subprocess.run(install, cwd=folder, check=True)
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    return python


def emospace(python: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python.with_name("emospace")), *words]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


def test_the_wheels_own_code_is_run(python: Path, tmp_path: Path) -> None:
    where = "import emospace.cli, toyworld.world; print(emospace.cli.__file__, toyworld.world.__file__)"
    found = subprocess.run([python, "-P", "-c", where], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert all(Path(name).is_relative_to(python.parent.parent) for name in found.stdout.split())


def test_a_model_file_talks(python: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "a.emospace", parts_of(tiny_modules()))
    write_astronaut(tmp_path)
    write_audio(tmp_path / "speech.wav", np.sin(np.arange(16_000) / 20).astype(np.float32) / 2)
    words = ["--portrait", "astronaut.png", "--audio", "speech.wav", "--emotion", "happy", "--model", "a.emospace"]
    done = emospace(python, tmp_path, "talk", *words, "--size", "128", "--out", "a.mp4")
    assert done.returncode == 0, done.stderr
    assert read_video(tmp_path / "a.mp4").shape == (VIDEO_FPS, 128, 128, 3)


def test_a_toy_world_is_written_and_a_table_lists_what_is_missing(python: Path, tmp_path: Path) -> None:
    done = emospace(python, tmp_path, "toy", "world", "--preset", "tiny")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "world").rglob("*.mp4"))) > 10
    done = emospace(python, tmp_path, "table", "3", "--preset", "demo")
    assert done.returncode == 0, done.stderr
    assert "EFD" in done.stdout
