"""Random command lines over odd names and values: one line, a fixed exit code, and no foreign file changed."""

import contextlib
import io
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.audio import write_audio
from datamodules.video_writer import write_video
from emospace.cli import main

LINES = """
prepare RAW OUT
prepare RAW OUT --size NUMBER --workers 1
prepare RAW OUT --coefficients mat --json
prepare RAW OUT --coefficients deep3d --deep3d PATH
prepare RAW OUT --coefficients landmarks --weights PATH
prepare RAW OUT --clip-seconds NUMBER --workers NUMBER
prepare PATH PATH
store PATH
store PATH --verify
store PATH --json
status --runs PATH
status --runs PATH --json
ablations --json
table 3 --runs PATH
table 3 --runs PATH --format latex
table 1 --scored PATH
table NUMBER --seeds NUMBER
figure 7 --runs PATH --out OUT
figure NUMBER --runs PATH --seed NUMBER
figure 10 --preset PATH --out OUT
score PATH PATH
score PATH PATH --out OUT --json
score raw raw --out OUT --weights PATH
score --pairs PATH
talk --portrait PATH --audio PATH --emotion happy --runs PATH
talk --portrait PATH --audio PATH --emotion PATH --out OUT --run PATH
report OUT --runs PATH
report OUT --runs PATH --table
report OUT --runs folder --video PATH
wandb publish --runs PATH
wandb publish PATH --runs PATH --json
run mine.yaml data.store=PATH
run mine.yaml data.split=PATH
run PATH
run mine.yaml --variant PATH
run mine.yaml --seed NUMBER
run mine.yaml eac.steps=NUMBER --json
run mine.yaml --runs PATH
run mine.yaml face_model=PATH
sweep PATH
sweep mine_sweep.yaml --runs OUT
sweep mine_sweep.yaml --slots NUMBER
sweep mine_sweep.yaml --launcher slurm --time NUMBER
toy FILE
toy folder --seed NUMBER
toy OUT --size NUMBER --preset PATH
bench --preset PATH
doctor --weights PATH
""".strip().splitlines()
"""Commands with slots for odd values, at places where no work of minutes begins."""

NUMBERS = ("-1", "0", "1e9", "1e400", "nan", "x", "", "0x10", "1.5", "9" * 21)
SWEEP = """
method: grid
parameters: {seed: {values: [0]}}
command: ["${env}", "${interpreter}", -m, emospace.cli, run, mine.yaml, "${args_no_hyphens}"]
"""
SECONDS = 240


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with odd things in it; its foreign files are the same afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOSPACE_RUNS", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    write_video(Path("12:30.mp4"), np.zeros((12, 32, 32, 3), np.uint8), audio=np.zeros(7680, np.float32))
    write_audio(Path("take:1.wav"), np.full(16000, 0.1, np.float32))
    Image.new("RGBA", (16, 16), (1, 2, 3, 4)).save("face.png")
    Path("mine.yaml").write_text("base: mead\ndata: {store: nowhere}\nworld: {root: thesis.txt}\n")
    Path("utf16.yaml").write_bytes("base: toy\n".encode("utf-16"))
    Path("list.json").write_text("[[[")
    Path("empty.mp4").touch()
    Path("thesis.txt").write_text("years of work")
    Path("n" * 245).write_text("long")
    Path(os.fsdecode(b"caf\xe9.wav")).write_bytes(b"no sound")
    Path("a|b$~ c.yaml").write_text("seed: 1\nseed: 2\n")
    Path("mine_sweep.yaml").write_text(SWEEP)
    Path("raw").mkdir()
    for name in ("12:30.mp4", "dangling.mp4", "x" * 240 + ".mp4"):
        os.link("12:30.mp4", f"raw/{name}")
    Path("folder").mkdir()
    Path("folder/inner.txt").write_text("inner")
    Path("dangling").symlink_to("nowhere/at all")
    Path("loop.mp4").symlink_to("loop.mp4")
    os.mkfifo("pipe.wav")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("socket")
    before = foreign(tmp_path)
    yield tmp_path
    after = foreign(tmp_path)
    assert {path: after.get(path) for path in before} == before


def foreign(root: Path) -> dict[str, tuple]:
    """Kind and content of everything below a folder."""
    found = {}
    for path in root.rglob("*"):
        content = path.read_bytes() if path.is_file() else os.readlink(path) if path.is_symlink() else None
        found[str(path)] = (path.lstat().st_mode, content)
    return found


def odd_value(word: str, random: np.random.Generator) -> str:
    """A word of a line with its slots filled."""
    there = sorted(os.listdir("."))
    invented = ["thesis.txt/below", "folder/new", "/dev/null", "/dev/full", "x" * 300, "", " ", "a\nb", "~", "-", "007"]
    slots = {
        "NUMBER": NUMBERS,
        "RAW": ["raw", "folder", *there],
        "PATH": [*there, *invented],
        "OUT": [*there, *invented],
        "FILE": ["thesis.txt", "thesis.txt/below", "pipe.wav", "loop.mp4", "/dev/null", "folder", "x" * 300],
    }
    for slot, values in slots.items():
        if slot in word:
            return word.replace(slot, values[int(random.integers(len(values)))])
    return word


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail what hangs."""

    def late(*_: object) -> None:
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def walk(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    for number in range(count):
        command, *line = LINES[number % len(LINES)].split()
        words = [odd_value(word, random) for word in line]
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
        with within(SECONDS), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([command, *words])
        err.seek(0)
        told = err.read()
        line = f"{command} {words}: {code} {told[-500:]}"
        assert code in (0, 1, 2), line
        assert "Traceback" not in told, line
        assert "internal error" not in told, line
        assert told.count("\n") <= 3 or code == 0, line
        assert code == 0 or told.strip(), line


def test_some_odd_command_lines(place: Path) -> None:
    walk(len(LINES), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_odd_command_lines(place: Path, seed: int) -> None:
    walk(100, seed)
