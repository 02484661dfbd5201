"""Launchers of sweep jobs: one process a run, so that a run that dies takes nothing with it; and their live table."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from conventions.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from experiments.progress import Interruption
from experiments.rundir import State
from experiments.sweep import SWEEP, SweepJob

TERMINAL_SECONDS = 1.0
PLAIN_SECONDS = 30.0
TAIL_BYTES = 4096
"""How much of a log's end is looked at for its last line."""

JobState = Literal["waiting", "running", "done", "failed", "interrupted"]


@dataclass
class JobReport:
    """One job's state and, when it failed, its reason."""

    job: SweepJob
    state: JobState = "waiting"
    reason: str | None = None
    seconds: float = 0.0
    task: str | None = None
    """Slurm's id of the task, such as `12_3`; None with the local launcher."""
    log: Path | None = None
    """Where its progress is written, once it has been started."""


class Board:
    """What a launcher shows of its jobs on stderr while they run."""

    def __init__(self) -> None:
        self.stream = sys.stderr
        self.live = self.stream.isatty()
        self._shown, self._height = time.monotonic(), 0
        self._last = dict[str, str]()

    def say(self, line: str) -> None:
        """A line that stays."""
        self.clear()
        self.stream.write(line + "\n")
        self.stream.flush()

    def show(self, reports: Sequence[JobReport]) -> None:
        """Where the jobs stand, if the last showing is old enough: on a terminal every running one, else what moved."""
        if time.monotonic() - self._shown < (TERMINAL_SECONDS if self.live else PLAIN_SECONDS):
            return
        self._shown = time.monotonic()
        rows = {report.job.label: row(report) for report in reports if report.state == "running"}
        if self.live:
            self._draw([*rows.values(), totals(reports)])
        else:
            for label, text in rows.items():
                if self._last.get(label) != text:
                    self.say(text)
            self._last = rows

    def clear(self) -> None:
        """Take the table off the terminal."""
        if self._height:
            self.stream.write(f"\x1b[{self._height}A\x1b[J")
            self._height = 0

    def _draw(self, lines: Sequence[str]) -> None:
        width, height = shutil.get_terminal_size()
        lines = lines[-max(1, height - 1) :]
        self.clear()
        self.stream.write("".join(line[: width - 1] + "\n" for line in lines))
        self.stream.flush()
        self._height = len(lines)


def row(report: JobReport) -> str:
    """`toy variant=full seed=0: eac.s0.1f2e3d4c  120/400  loss 0.12  12.3/s  0:23 left`."""
    return f"{report.job.label}: {last_line(_tail(report.log)).strip() or 'starting'}"


def totals(reports: Sequence[JobReport]) -> str:
    """`2 running, 5 waiting, 3 done, 1 failed, of 11`."""
    counts = Counter(report.state for report in reports)
    order = ("running", "waiting", "done", "failed", "interrupted")
    return ", ".join(f"{counts[state]} {state}" for state in order if counts[state]) + f", of {len(reports)}"


def ended_line(report: JobReport, reports: Sequence[JobReport]) -> str:
    """`[3/6] toy seed=0: failed in 12 s: MemoryError`."""
    ended = sum(other.state not in ("waiting", "running") for other in reports)
    why = f": {report.reason}" if report.reason else ""
    return f"[{ended}/{len(reports)}] {report.job.label}: {report.state} in {report.seconds:.0f} s{why}"


def _tail(log: Path | None) -> str:
    """The end of a log that is still written."""
    if log is None or not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def last_line(text: str) -> str:
    """The last line that is not empty; nothing without one."""
    return ([line for line in text.splitlines() if line.strip()] or [""])[-1]


ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.2
ELSEWHERE_SECONDS = 2.0
"""Between two looks at runs that another process makes."""

StateOf = Callable[[SweepJob], State]
"""The verified state of a job's run, from its folder."""


@dataclass
class _Running:
    number: int
    report: JobReport
    process: subprocess.Popen
    slot: int
    begun: float = field(default_factory=time.monotonic)


_Numbered = tuple[int, JobReport]
CommandOf = Callable[[SweepJob], list[str]]


@runtime_checkable
class Launcher(Protocol):
    """Runs jobs, their progress below `logs`, and reports each one's end in order."""

    def run(self, jobs: Sequence[SweepJob], logs: Path) -> list[JobReport]:
        """Run every job; none that fails stops the others."""
        ...


def cli_command(job: SweepJob) -> list[str]:
    """The command line of a job: that which a W&B agent would execute, but for -P.

    -P keeps files of the user's working directory, such as a metrics.py, from being imported in place of ours.
    """
    return [sys.executable, "-P", "-m", "emospace.cli", "run", *job.words]


class LocalLauncher:
    """Runs jobs on this machine in `slots` processes at a time.

    `gpus` > 0 gives slot i the GPU i modulo `gpus`; without GPUs the CPU cores are shared out among the slots. What
    `state_of` reports as done is not started; what another process makes is waited for, and made here if that one
    fails. `variables` are added to the environment of every run.
    """

    def __init__(
        self,
        slots: int = 1,
        gpus: int = 0,
        command: CommandOf = cli_command,
        state_of: StateOf = lambda job: "missing",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        if slots < 1:
            raise UserError(f"--slots: {slots} is not valid; it must be at least 1")
        self.slots, self.gpus, self.command, self.state_of = slots, gpus, command, state_of
        self.variables = variables or {}
        self.board = Board()

    def run(self, jobs: Sequence[SweepJob], logs: Path) -> list[JobReport]:
        """Run every job; none that fails stops the others. On SIGTERM or SIGINT the running ones are asked to stop."""
        logs.mkdir(parents=True, exist_ok=True)
        reports = [JobReport(job) for job in jobs]
        waiting, running, elsewhere = list(enumerate(reports)), list[_Running](), list[_Numbered]()
        looked = 0.0
        with Interruption().listening() as interruption:
            while waiting or running or elsewhere:
                if interruption.wanted:
                    self._stop([*waiting, *elsewhere], running)
                    waiting, elsewhere = [], []
                while waiting and len(running) < self.slots:
                    self._next(waiting.pop(0), logs, running, elsewhere)
                elsewhere += self._collect(running, reports)
                if elsewhere and time.monotonic() - looked >= ELSEWHERE_SECONDS:
                    looked = time.monotonic()
                    waiting, elsewhere = [*elsewhere, *waiting], []
                self.board.show(reports)
                time.sleep(POLL_SECONDS)
        self.board.clear()
        return reports

    def _next(self, one: _Numbered, logs: Path, running: list[_Running], elsewhere: list[_Numbered]) -> None:
        """Start a job, unless it is done or another process is at it."""
        number, report = one
        state = self.state_of(report.job)
        if state == "done":
            report.state, report.reason = "done", None
        elif state == "running":
            self._leave(report)
            elsewhere.append(one)
        else:
            report.log, report.reason = logs / f"{number:04}.log", None
            free = min(set(range(self.slots)) - {work.slot for work in running})
            running.append(self._start(number, report, free))

    def _leave(self, report: JobReport) -> None:
        if report.reason is None:
            report.reason = "another process works on it"
            self.board.say(f"{report.job.label}: {report.reason}; waiting for it")
        report.state = "waiting"

    def _stop(self, waiting: Sequence[_Numbered], running: Sequence[_Running]) -> None:
        for _, report in waiting:
            report.state = "interrupted"
        for work in running:
            if work.report.state == "running":
                work.process.terminate()
                work.report.state = "interrupted"

    def _start(self, number: int, report: JobReport, slot: int) -> _Running:
        assert report.log is not None
        self.board.say(f"{report.job.label}: starts (its progress: {report.log})")
        with report.log.open("ab") as file:
            process = subprocess.Popen(
                self.command(report.job),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment(slot),
                start_new_session=True,
            )
        report.state = "running"
        return _Running(number, report, process, slot)

    def _environment(self, slot: int) -> dict[str, str]:
        threads = max(1, (os.cpu_count() or 1) // self.slots)
        own: dict[str, str] = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
        if self.gpus:
            own["CUDA_VISIBLE_DEVICES"] = str(slot % self.gpus)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {**os.environ, **own, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **self.variables}

    def _collect(self, running: list[_Running], reports: Sequence[JobReport]) -> list[_Numbered]:
        """Report those that ended; those that another process had taken first are given back."""
        taken = []
        for work in [work for work in running if work.process.poll() is not None]:
            running.remove(work)
            report, code = work.report, work.process.returncode
            report.seconds = time.monotonic() - work.begun
            if code == EXIT_USAGE and report.state == "running" and self.state_of(report.job) in ("running", "done"):
                self._leave(report)
                taken.append((work.number, report))
            else:
                assert report.log is not None
                report.state, report.reason = ending(code, report.log, report.state == "interrupted")
                self.board.say(ended_line(report, reports))
        return taken


def ending(code: int, log: Path, stopped: bool = False) -> tuple[JobState, str | None]:
    """State and reason of a run's process by its exit code and the last line of its log."""
    if code == 0:
        return "done", None
    if code == EXIT_INTERRUPTED or stopped:
        return "interrupted", "the same command goes on from here"
    if code < 0:
        return "failed", f"killed by signal {-code}"
    return "failed", last_line(log.read_text(errors="replace")) or f"exit code {code}"


def run_variables(runs: Path, sweep: str = "") -> dict[str, str]:
    """Environment variables by which a launched run finds its folder of runs and the name of its sweep."""
    return {"EMOSPACE_RUNS": str(runs.resolve()), **({SWEEP: sweep} if sweep else {})}


def local_launcher(slots: int, state_of: StateOf, variables: Mapping[str, str]) -> LocalLauncher:
    """The launcher on this machine with all of its GPUs."""
    import torch

    return LocalLauncher(slots, torch.cuda.device_count(), state_of=state_of, variables=variables)


def run_sweep(jobs: Sequence[SweepJob], logs: Path, launcher: Launcher) -> tuple[int, list[JobReport]]:
    """Run the jobs; the exit code and each job's end, in order."""
    reports = launcher.run(jobs, logs)
    return exit_code(reports), reports


def exit_code(reports: Sequence[JobReport]) -> int:
    """0 when all are done, 1 when any failed, else 75."""
    states = {report.state for report in reports}
    return EXIT_FAILURE if "failed" in states else 0 if states <= {"done"} else EXIT_INTERRUPTED
