"""Worker processes outlive the tasks that kill or stall them, and do not outlive the process that started them."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

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
