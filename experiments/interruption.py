"""SIGTERM, SIGINT and SIGHUP as a wish to stop: the work ends at its next safe point and can be resumed."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

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
