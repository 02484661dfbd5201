import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from conventions.errors import UserError
from experiments.launchers import LocalLauncher, cli_command, exit_code, states_table
from experiments.sweep import SweepJob

SCRIPTS = {
    "well": "print('fine')",
    "raises": "raise MemoryError('7 GB')",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "usage": "import sys; print('emospace run: unknown key'); sys.exit(2)",
    "slow": "import signal, time; signal.signal(15, lambda *_: exit(75)); print('up', flush=True); time.sleep(60)",
    "where": "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ['OMP_NUM_THREADS'])",
}


def command(job: SweepJob) -> list[str]:
    return [sys.executable, "-c", SCRIPTS[job.words[0]]]


def jobs(*names: str) -> list[SweepJob]:
    return [SweepJob((name, f"n={index}")) for index, name in enumerate(names)]


def test_a_job_that_dies_takes_nothing_with_it(tmp_path: Path) -> None:
    reports = LocalLauncher(2, command=command).run(jobs("raises", "well", "killed", "usage", "well"), tmp_path)
    assert [report.state for report in reports] == ["failed", "done", "failed", "failed", "done"]
    assert [report.reason for report in reports] == [
        "MemoryError: 7 GB",
        None,
        "killed by signal 9",
        "emospace run: unknown key",
        None,
    ]
    assert exit_code(reports) == 1
    assert "MemoryError" in states_table(reports)


def test_all_well_is_zero(tmp_path: Path) -> None:
    assert exit_code(LocalLauncher(3, command=command).run(jobs("well", "well"), tmp_path)) == 0


def test_slots_share_gpus_and_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    LocalLauncher(3, gpus=2, command=command).run(jobs("where", "where", "where"), tmp_path)
    found = sorted(path.read_text().split() for path in tmp_path.glob("*.log"))
    assert found == [["0", "2"], ["0", "2"], ["1", "2"]]


def test_a_signal_stops_the_running_and_skips_the_waiting(tmp_path: Path) -> None:
    def stop_when_up() -> None:
        while not any("up" in path.read_text() for path in tmp_path.glob("*.log")):
            threading.Event().wait(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_when_up).start()
    reports = LocalLauncher(1, command=command).run(jobs("slow", "well"), tmp_path)
    assert [report.state for report in reports] == ["interrupted", "interrupted"]
    assert exit_code(reports) == 75


def test_the_command_is_what_an_agent_executes() -> None:
    words = cli_command(SweepJob(("toy", "variant=full", "seed=0")))
    assert words[1:] == ["-m", "emospace.cli", "run", "toy", "variant=full", "seed=0"]


def test_no_slots_are_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        LocalLauncher(0)
