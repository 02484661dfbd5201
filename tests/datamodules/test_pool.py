"""Worker processes outlive the tasks that kill or stall them, and preparation being killed at random moments."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from toy_store import contents

from datamodules.pool import run_tasks


def misbehave(task: str) -> str:
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "segfault":
        ctypes.string_at(0)
    if task == "die after":
        threading.Timer(0.2, os._exit, [1]).start()
    if task == "hang":
        time.sleep(60)
    return task.upper()


def test_workers_survive_death_and_sleep() -> None:
    outcomes = sorted(
        run_tasks(misbehave, ["a", "die", "hang", "segfault", "b"], 2, limit_s=3.0), key=lambda outcome: outcome.index
    )
    assert [(o.value, o.failure) for o in outcomes] == [
        ("A", None),
        (None, "crashed"),
        (None, "timed_out"),
        (None, "crashed"),
        ("B", None),
    ]


def test_a_worker_that_dies_between_two_tasks_costs_neither() -> None:
    values = []
    for outcome in run_tasks(misbehave, ["die after", "b"], 1):
        values.append(outcome.value)
        time.sleep(0.6)
    assert values == ["DIE AFTER", "B"]


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them() -> None:
    code = "import time; from datamodules.pool import run_tasks\n"
    code += "if __name__ == '__main__': list(run_tasks(time.sleep, [60, 60], 2))"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    workers = wait_for(lambda: psutil.Process(parent.pid).children(recursive=True), 2)
    time.sleep(10)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []


def wait_for(found, count: int) -> list[psutil.Process]:
    """What `found` says once it is `count` long."""
    deadline = time.monotonic() + 60
    while len(result := found()) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(result) >= count
    return result


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
