"""Launchers of sweep jobs: one process a run, so that a run that dies takes nothing with it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from conventions.errors import EXIT_FAILURE, EXIT_INTERRUPTED, UserError
from experiments.interruption import Interruption
from experiments.progress import say
from experiments.sweep import SweepJob

ROOT = Path(__file__).resolve().parent.parent
POLL_SECONDS = 0.2

JobState = Literal["waiting", "running", "done", "failed", "interrupted"]


@dataclass
class JobReport:
    """One job's state and, when it failed, its last word."""

    job: SweepJob
    state: JobState = "waiting"
    reason: str | None = None
    seconds: float = 0.0
    task: str | None = None
    """Slurm's id of the task, such as `12_3`; None with the local launcher."""


@dataclass
class _Running:
    report: JobReport
    process: subprocess.Popen
    log: Path
    slot: int
    begun: float = field(default_factory=time.monotonic)


CommandOf = Callable[[SweepJob], list[str]]


@runtime_checkable
class Launcher(Protocol):
    """Runs jobs, their progress below `logs`, and reports each one's end in order."""

    def run(self, jobs: Sequence[SweepJob], logs: Path) -> list[JobReport]:
        """Run every job; none that fails stops the others."""
        ...


def cli_command(job: SweepJob) -> list[str]:
    """The command line of a job: that which a W&B agent would execute."""
    return [sys.executable, "-m", "emospace.cli", "run", *job.words]


class LocalLauncher:
    """Runs jobs on this machine in `slots` processes at a time.

    `gpus` > 0 gives slot i the GPU i modulo `gpus`; without GPUs the CPU cores are shared out among the slots.
    """

    def __init__(self, slots: int = 1, gpus: int = 0, command: CommandOf = cli_command) -> None:
        if slots < 1:
            raise UserError(f"--slots: {slots} is impossible; it must be at least 1")
        self.slots, self.gpus, self.command = slots, gpus, command

    def run(self, jobs: Sequence[SweepJob], logs: Path) -> list[JobReport]:
        """Run every job; none that fails stops the others. On SIGTERM or SIGINT the running ones are asked to stop."""
        logs.mkdir(parents=True, exist_ok=True)
        reports = [JobReport(job) for job in jobs]
        waiting, running = list(enumerate(reports)), list[_Running]()
        with Interruption().listening() as interruption:
            while waiting or running:
                if interruption.wanted:
                    waiting = self._stop(waiting, running)
                while waiting and len(running) < self.slots:
                    number, report = waiting.pop(0)
                    running.append(self._start(report, logs / f"{number:04}.log", self._free_slot(running)))
                self._collect(running, reports)
                time.sleep(POLL_SECONDS)
        return reports

    def _stop(self, waiting: list[tuple[int, JobReport]], running: list[_Running]) -> list[tuple[int, JobReport]]:
        for _, report in waiting:
            report.state = "interrupted"
        for work in running:
            if work.report.state == "running":
                work.process.terminate()
                work.report.state = "interrupted"
        return []

    def _free_slot(self, running: Sequence[_Running]) -> int:
        taken = {work.slot for work in running}
        return next(slot for slot in range(self.slots) if slot not in taken)

    def _start(self, report: JobReport, log: Path, slot: int) -> _Running:
        say(f"{report.job.label}: starts (its progress: {log})")
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.command(report.job),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment(slot),
                start_new_session=True,
            )
        report.state = "running"
        return _Running(report, process, log, slot)

    def _environment(self, slot: int) -> dict[str, str]:
        threads = max(1, (os.cpu_count() or 1) // self.slots)
        own: dict[str, str] = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads))}
        if self.gpus:
            own["CUDA_VISIBLE_DEVICES"] = str(slot % self.gpus)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return {**os.environ, **own, "PYTHONPATH": path}

    def _collect(self, running: list[_Running], reports: Sequence[JobReport]) -> None:
        for work in [work for work in running if work.process.poll() is not None]:
            running.remove(work)
            report = work.report
            report.seconds = time.monotonic() - work.begun
            report.state, report.reason = ending(work.process.returncode, work.log, report.state == "interrupted")
            say_ended(report, reports)


def say_ended(report: JobReport, reports: Sequence[JobReport]) -> None:
    """One line of progress: how many of `reports` have ended, and how this one did."""
    ended = sum(other.state not in ("waiting", "running") for other in reports)
    why = f": {report.reason}" if report.reason else ""
    say(f"[{ended}/{len(reports)}] {report.job.label}: {report.state} in {report.seconds:.0f} s{why}")


def ending(code: int, log: Path, stopped: bool = False) -> tuple[JobState, str | None]:
    """State and reason of a run's process by its exit code and the last line of its log."""
    if code == 0:
        return "done", None
    if code == EXIT_INTERRUPTED or stopped:
        return "interrupted", "the same command goes on from here"
    if code < 0:
        return "failed", f"killed by signal {-code}"
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "failed", lines[-1] if lines else f"exit code {code}"


def local_launcher(slots: int) -> LocalLauncher:
    """The launcher on this machine with all of its GPUs."""
    import torch

    return LocalLauncher(slots, torch.cuda.device_count())


def run_sweep(
    jobs: Sequence[SweepJob], logs: Path, *, slots: int = 1, launcher: Launcher | None = None
) -> tuple[int, list[JobReport]]:
    """Run the jobs, by default on this machine; the exit code and each job's end, in order."""
    reports = (launcher or local_launcher(slots)).run(jobs, logs)
    return exit_code(reports), reports


def exit_code(reports: Sequence[JobReport]) -> int:
    """0 when all are done, 1 when any failed, else 75."""
    states = {report.state for report in reports}
    return EXIT_FAILURE if "failed" in states else 0 if states <= {"done"} else EXIT_INTERRUPTED


def states_table(reports: Sequence[JobReport]) -> str:
    """One line a job: state, time, what it is, why it failed."""
    rows = [f"{r.state:<12}{r.seconds:>7.0f} s  {r.job.label}{f'  ({r.reason})' if r.reason else ''}" for r in reports]
    return "\n".join(rows)
