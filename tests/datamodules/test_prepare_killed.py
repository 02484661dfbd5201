"""Preparation killed at random moments: what the next call finishes is what an unbroken one writes."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toy_store import contents

Clip = Callable[..., None]


def killed_command(raw: Path, store: Path, seconds: float) -> bool:
    """Run `emospace prepare` with two workers and kill it after that time; whether it was still at work."""
    command = [sys.executable, "-m", "emospace.cli", "prepare", str(raw), str(store)]
    options = ["--coefficients", "mat", "--size", "32", "--workers", "2"]
    process = subprocess.Popen([*command, *options], cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def seconds_of_work(raw: Path, store: Path) -> tuple[float, float]:
    """When an unbroken `emospace prepare` begins to work on a store, and when it ends."""
    began = time.monotonic()
    command = [sys.executable, "-m", "emospace.cli", "prepare", str(raw), str(store), "--coefficients", "mat"]
    process = subprocess.Popen([*command, "--size", "32", "--workers", "2"], cwd=Path(__file__).parents[2])
    first = None
    while process.poll() is None:
        first = first or (time.monotonic() - began if (store / ".parts").is_dir() else None)
        time.sleep(0.01)
    assert process.returncode == 0
    assert first is not None
    return first, time.monotonic() - began


@pytest.mark.slow
def test_killed_twenty_times_at_random_moments(tmp_path: Path, clip: Clip) -> None:
    """The command, killed anywhere from its first file to its last, and finished: the bytes of an unbroken one."""
    for number in range(40):
        clip(tmp_path / "raw" / f"clip_{number:02}", 10 + number, sound=".m4a")
    begins, ends = seconds_of_work(tmp_path / "raw", tmp_path / "whole")
    store, kills, random = tmp_path / "killed", 0, np.random.default_rng(0)
    while kills < 20:
        if not killed_command(tmp_path / "raw", store, random.uniform(begins, ends)):
            assert contents(store) == contents(tmp_path / "whole")
            shutil.rmtree(store)
            continue
        kills += 1
    assert subprocess.run(
        [sys.executable, "-m", "emospace.cli", "prepare", str(tmp_path / "raw"), str(store), "--size", "32", "--json"],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
    ).stdout
    assert contents(store) == contents(tmp_path / "whole")
