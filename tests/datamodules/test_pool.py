"""Worker processes outlive the tasks that kill or stall them."""

import os
import signal
import time

from datamodules.pool import run_tasks


def misbehave(task: str) -> str:
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "hang":
        time.sleep(60)
    return task.upper()


def test_workers_survive_death_and_sleep() -> None:
    outcomes = sorted(
        run_tasks(misbehave, ["a", "die", "hang", "b"], 2, limit_s=3.0), key=lambda outcome: outcome.index
    )
    assert [(o.value, o.failure) for o in outcomes] == [
        ("A", None),
        (None, "crashed"),
        (None, "timed_out"),
        ("B", None),
    ]
