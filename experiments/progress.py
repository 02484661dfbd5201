"""Signs of life, and the wish to stop: progress lines, a heartbeat in status.json, and signals that end the work.

SIGTERM, SIGINT and SIGHUP ask for a stop: the work ends at its next safe point and can be resumed.
"""

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

from experiments.rundir import RunFolder

HEARTBEAT_SECONDS = 5.0
LINE_SECONDS = 5.0


def say(line: str) -> None:
    """One line of progress on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@dataclass
class Progress:
    """How far a run is. `advance` is cheap; lines and heartbeats follow the clock, not the steps."""

    title: str
    total: int
    step: int = 0
    note: str = ""
    quiet: bool = False
    """Print nothing: another process reports the same work."""
    data_wait: float | None = None
    """Share of the training time that was spent waiting for batches; None without training."""
    _begun: float = field(default_factory=time.monotonic)
    _first: int = 0
    _said: float = 0.0

    def start(self, step: int) -> None:
        """Begin, or go on, at `step`."""
        self.step = self._first = step
        self._begun = time.monotonic()

    def advance(self, step: int, note: str = "") -> None:
        """`step` pieces of `total` are done; prints a line every few seconds."""
        self.step, self.note = step, note or self.note
        now = time.monotonic()
        if not self.quiet and (now - self._said >= LINE_SECONDS or step == self.total):
            self._said = now
            say(self.line(now))

    def line(self, now: float) -> str:
        """`eac.s0.1f2e3d4c  120/400  loss 0.12  12.3/s  0:23 left`."""
        rate = (self.step - self._first) / max(now - self._begun, 1e-6)
        parts = [self.title, f"{self.step}/{self.total}", self.note]
        if rate > 0:
            speed = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
            parts += [speed, f"{_clock((self.total - self.step) / rate)} left"]
        return "  ".join(part for part in parts if part)


@contextlib.contextmanager
def heartbeat(folder: RunFolder, progress: Progress) -> Iterator[None]:
    """Keep `running`, the time and the progress in status.json while the block runs."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):
                folder.set_status("running", step=progress.step, total=progress.total)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class InterruptedRunError(Exception):
    """The run stopped at a safe point because it was asked to; running it again resumes it (exit 75)."""


class Interruption:
    """Whether someone asked to stop. A second signal ends the process the usual way."""

    def __init__(self) -> None:
        self.wanted = False

    def check(self) -> None:
        """Raise InterruptedRunError when someone asked to stop; call it between pieces of work."""
        if self.wanted:
            raise InterruptedRunError

    def arm(self) -> None:
        """Take the signals; again after a library has taken them for itself. Only a main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.wanted = True

    @contextlib.contextmanager
    def listening(self) -> Iterator["Interruption"]:
        """Listen inside the block; the earlier handlers return afterwards."""
        earlier = {number: signal.getsignal(number) for number in SIGNALS}
        self.arm()
        try:
            yield self
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in earlier.items():
                    signal.signal(number, handler)
