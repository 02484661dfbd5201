import io
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from conventions.errors import UserError
from experiments.launchers import Board, JobReport, LocalLauncher, cli_command, exit_code, run_variables
from experiments.rundir import RunFolder, State
from experiments.sweep import SweepJob

SCRIPTS = {
    "well": "print('fine')",
    "raises": "raise MemoryError('7 GB')",
    "killed": "import os; os.kill(os.getpid(), 9)",
    "usage": "import sys; print('emospace run: unknown key'); sys.exit(2)",
    "slow": "import signal, time; signal.signal(15, lambda *_: exit(75)); print('up', flush=True); time.sleep(60)",
    "sweep": "import os; print(os.environ['EMOSPACE_SWEEP'], os.environ['EMOSPACE_RUNS'])",
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


def test_all_well_is_zero(tmp_path: Path) -> None:
    assert exit_code(LocalLauncher(3, command=command).run(jobs("well", "well"), tmp_path)) == 0


def test_slots_share_gpus_and_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    LocalLauncher(3, gpus=2, command=command).run(jobs("where", "where", "where"), tmp_path)
    found = sorted(path.read_text().split() for path in tmp_path.glob("*.log"))
    assert found == [["0", "2"], ["0", "2"], ["1", "2"]]


def test_runs_get_the_name_of_their_sweep_and_the_folder_of_runs(tmp_path: Path) -> None:
    variables = run_variables(tmp_path / "runs", "rates")
    LocalLauncher(command=command, variables=variables).run(jobs("sweep"), tmp_path)
    assert (tmp_path / "0000.log").read_text().split() == ["rates", str(tmp_path / "runs")]
    assert "EMOSPACE_SWEEP" not in run_variables(tmp_path), "runs of a table are of no sweep"


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
    assert words[1:] == ["-P", "-m", "emospace.cli", "run", "toy", "variant=full", "seed=0"]


def test_no_slots_are_refused() -> None:
    with pytest.raises(UserError, match="at least 1"):
        LocalLauncher(0)


def test_what_is_done_is_not_started(tmp_path: Path) -> None:
    states: dict[str, State] = {"well n=0": "done", "well n=1": "interrupted"}
    launcher = LocalLauncher(1, command=command, state_of=lambda job: states[job.label])
    reports = launcher.run(jobs("well", "well"), tmp_path)
    assert [report.state for report in reports] == ["done", "done"]
    assert [path.name for path in tmp_path.glob("*.log")] == ["0001.log"]


WORK = """
import sys, time
from pathlib import Path
from experiments.rundir import RunFolder, RunLockedError
folder = RunFolder(Path(sys.argv[1]))
try:
    with folder.lock():
        if folder.state() == "done":
            sys.exit(0)
        folder.set_status("running")
        time.sleep(0.3)
        with (folder.path.parent / "worked").open("a") as file:
            file.write(folder.id + chr(10))
        folder.write("metrics.json", {"hash": folder.digest, "metrics": {}})
        folder.set_status("done", hash=folder.digest)
except RunLockedError:
    sys.exit(2)
"""


def test_two_launchers_at_once_run_nothing_twice_and_both_see_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.launchers.ELSEWHERE_SECONDS", 0.1)
    made = {job.label: tmp_path / f"toy-eac.full.s{n}.0000000{n}" for n, job in enumerate(jobs("a", "b", "c"))}
    ends: list[list[JobReport]] = []

    def launch(number: int) -> None:
        launcher = LocalLauncher(
            2,
            command=lambda job: [sys.executable, "-c", WORK, str(made[job.label])],
            state_of=lambda job: RunFolder(made[job.label]).state(),
        )
        ends.append(launcher.run(jobs("a", "b", "c"), tmp_path / f"logs{number}"))

    threads = [threading.Thread(target=launch, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[report.state for report in reports] for reports in ends] == [["done"] * 3] * 2
    assert sorted((tmp_path / "worked").read_text().split()) == sorted(path.name for path in made.values())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """What a board shows of two running jobs, twice, with a line that stays between."""
    for name in ("TERMINAL_SECONDS", "PLAIN_SECONDS"):
        monkeypatch.setattr(f"experiments.launchers.{name}", 0.0)
    log = tmp_path / "a.log"
    log.write_text("first\ntoy-eac  12/400  loss 0.5\n")
    reports = [JobReport(job, "running", log=log) for job in jobs("a", "b")] + [JobReport(jobs("c")[0])]
    monkeypatch.setattr(sys, "stderr", stream)
    board = Board()
    board.show(reports)
    board.say("a line that stays")
    board.show(reports)
    board.clear()
    return stream.getvalue()


def test_the_table_is_redrawn_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(Terminal(), monkeypatch, tmp_path)
    table = "a n=0: toy-eac  12/400  loss 0.5\nb n=1: toy-eac  12/400  loss 0.5\n2 running, 1 waiting, of 3\n"
    assert text == f"{table}\x1b[3A\x1b[Ja line that stays\n{table}\x1b[3A\x1b[J"


def test_elsewhere_it_is_plain_lines_of_what_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(io.StringIO(), monkeypatch, tmp_path)
    assert text.count("12/400") == 2
    assert "\x1b" not in text
