"""What a command shows of itself and how it is stopped: any terminal's encoding, warnings on one line, signals."""

import codecs
import contextlib
import io
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from types import FrameType

from conventions.errors import MediaWarning

SIGNS = dict(zip("±†‡↑↓×…–—∘∙", ("+-", "+", "++", "^", "v", "x", "...", "-", "-", "o", "."), strict=True))
"""Signs of our tables, and what stands for them where a terminal has none."""

STOPS = ("SIGTERM", "SIGHUP")


def one_line(text: str) -> str:
    """Text, such as a file's name, without line breaks."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(SIGNS.get(sign, sign.encode("ascii", "backslashreplace").decode()) for sign in text), error.end


@contextlib.contextmanager
def terminal(command: str) -> Iterator[None]:
    """Inside the block: no output fails by its encoding, a `MediaWarning` is one line, SIGTERM and SIGHUP interrupt."""
    codecs.register_error("emospace", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="emospace")
    with warnings.catch_warnings(), _stoppable():
        _show_warnings(command)
        yield


def _show_warnings(command: str) -> None:
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: object, **more: object) -> None:
        if issubclass(category, MediaWarning):
            print(f"emospace {command}: warning: {one_line(str(message))}", file=sys.stderr, flush=True)
        else:
            others(message, category, *place, **more)  # type: ignore[arg-type]

    warnings.showwarning = show


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Signals that would end the process at once raise KeyboardInterrupt: what is half-written is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in STOPS if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
