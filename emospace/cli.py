"""The command line: `emospace COMMAND ...`. Heavy libraries load inside a command, never for `--help`.

It fits any terminal's encoding, shows warnings on one line, and ends by signals as by Ctrl-C.
"""

import argparse
import codecs
import contextlib
import importlib
import importlib.util
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NoReturn

from conventions.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE, MediaWarning, UserError, nearest

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


COMMANDS = {
    "doctor": "report versions, devices, optional weights, and what is missing",
    "toy": "write a toy world in MEAD's own layout",
    "prepare": "prepare raw clips as a packed store",
    "store": "describe or verify a store, or add a speech feature",
    "run": "run one experiment: train what is missing, evaluate",
    "sweep": "run the missing runs of a sweep",
    "status": "list all runs and their states",
    "ablations": "list the registered variants",
    "table": "print a table from finished runs",
    "figure": "draw a figure of the paper from finished runs",
    "score": "score the videos of any method with the metric protocol",
    "talk": "make a talking face from a portrait, speech and an emotion",
    "web": "serve a web page that makes talking faces",
    "export": "write one model file for `talk` from a finished run",
    "bench": "print parameters, FLOP, time and memory of each module",
    "report": "write runs, curves, tables and videos as one static page",
    "publish": "write finished runs into a local Trackio project",
    "wandb": "publish finished runs to W&B; create a dashboard there",
    "demo": "run the whole pipeline on the toy world, in minutes",
}

TRACEBACK = "EMOSPACE_TRACEBACK"
"""Environment variable: an internal error prints its traceback."""


class OneLineParser(argparse.ArgumentParser):
    """A parser that raises UserError for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        """UserError with the message and the help command."""
        raise UserError(f"{message} (see {self.prog} --help)")


def build_parser(command: str) -> argparse.ArgumentParser:
    """The parser of one command, from its module in `emospace.commands`."""
    module = importlib.import_module(f"emospace.commands.{command}")
    parser = OneLineParser(
        prog=f"emospace {command}",
        description=module.__doc__,
        epilog=f"example: {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


def overview() -> str:
    """The text of `emospace --help`."""
    lines = [f"  {name:<10} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "usage: emospace COMMAND [...]",
            "",
            "Emotional talking faces from one portrait, speech and an emotion given as text, image or audio.",
            "",
            *lines,
            "",
            "`emospace COMMAND --help` shows more. Exit: 0 done, 1 failed, 2 wrong use, 75 interrupted.",
            "example: emospace run toy --variant eac_mlp --seed 0",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        return 0 if arguments else EXIT_USAGE
    command = arguments[0]
    if command not in COMMANDS:
        print(f"emospace: unknown command {command!r}{nearest(command, COMMANDS)}", file=sys.stderr)
        return EXIT_USAGE
    return _guarded(command, arguments[1:])


def parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Options and `key=value` arguments in any order; an unknown one is a UserError."""
    options, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        parser.error(f"unknown argument {unknown[0]!r}{nearest(unknown[0].partition('=')[0], known)}")
    return options


def _guarded(command: str, words: Sequence[str]) -> int:
    """Run a command; print an error as one line and return the fixed exit code."""
    try:
        with terminal(command):
            try:
                options = parse(build_parser(command), words)
            except SystemExit as stop:
                return int(stop.code or 0)
            return int(options.run(options))
    except UserError as error:
        return _failed(command, str(error), EXIT_USAGE)
    except KeyboardInterrupt:
        return _failed(command, "interrupted; the same command resumes", EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILURE
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        return _failed(command, _described(error), EXIT_FAILURE)


def _failed(command: str, line: str, code: int) -> int:
    print(f"emospace {command}: {one_line(line)}", file=sys.stderr)
    return code


def _described(error: Exception) -> str:
    """What went wrong, on one line: a file, memory, a package that is absent, or an error of the program itself."""
    reason = (str(error).splitlines() or [""])[0]
    number, file = getattr(error, "errno", None), getattr(error, "filename", None)
    if isinstance(error, OSError) or number is not None:  # FFmpeg's errors are no OSErrors, but look like them
        return f"{os.fsdecode(file) if file else 'a file'}: {getattr(error, 'strerror', None) or reason}"
    if "PytorchStreamWriter" in reason or "inline_container" in reason:
        return "cannot write a checkpoint; is the disk full?"
    if isinstance(error, MemoryError) or "out of memory" in reason:
        return f"out of memory {f'({reason})' if reason else ''}".rstrip()
    package = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package and importlib.util.find_spec(package) is None:
        remedy = "`make env` installs all packages, `emospace doctor` lists them"
        return f"the package {package} is not installed in {sys.prefix}; {remedy}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}:{place.lineno}"
    return f"internal error: {type(error).__name__}: {reason} ({where}); {TRACEBACK}=1 prints the traceback"


def entry() -> NoReturn:
    """Console entry point; processes that it starts do not import from the working directory either."""
    if not os.path.exists("emospace/cli.py"):
        os.environ["PYTHONSAFEPATH"] = "1"
    sys.exit(main())


if __name__ == "__main__":
    entry()
