"""The live table of a sweep: redrawn in place on a terminal, plain lines now and then elsewhere."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.sweep import SweepJob

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
    return f"{report.job.label}: {last_line(report.log) or 'starting'}"


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


def last_line(log: Path | None) -> str:
    """The last line of a log that is still written, or nothing."""
    if log is None or not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
