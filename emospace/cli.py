"""The command line: `emospace COMMAND ...`. Heavy libraries load inside a command, never for `--help`."""

import argparse
import errno
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from conventions.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE, UserError, nearest

COMMANDS = {
    "doctor": "versions, devices, which optional weights are found, what is missing",
    "toy": "write a toy MEAD in MEAD's own layout",
    "prepare": "raw clips to a packed store",
    "store": "describe or verify a store",
    "run": "one experiment: train what is missing, evaluate",
    "sweep": "every run of a sweep that is missing",
    "status": "all runs and their states",
    "ablations": "the registry of variants",
    "table": "a paper table from finished runs",
    "figure": "a paper figure from finished runs",
    "score": "the metric protocol over any method's videos",
    "talk": "a talking face from a portrait, speech and an emotion",
    "export": "one file with all that talking needs, from a finished run",
    "bench": "parameters, FLOPs, time and memory of each module",
    "report": "runs, curves, tables and videos in one static page",
    "wandb": "send finished runs to W&B from their folders; arrange its dashboard",
    "demo": "the whole thread on the toy world, in minutes",
}

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaint is one line and whose exit code is 2."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and where help is; exit 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


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
            "Emotional talking faces from one portrait, speech and an emotion given as text, image or sound.",
            "",
            *lines,
            "",
            "`emospace COMMAND --help` tells more. Exit: 0 done, 1 failed, 2 wrong use, 75 interrupted.",
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
    try:
        options = parse(build_parser(command), arguments[1:])
    except SystemExit as stop:
        return int(stop.code or 0)
    return _guarded(command, options)


def parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Options and `key=value` words in any order; what is unknown is an error with exit code 2."""
    options, unknown = parser.parse_known_intermixed_args(words)
    if unknown:
        known = [name for action in parser._actions for name in action.option_strings]
        parser.error(f"unknown argument {unknown[0]!r}{nearest(unknown[0].partition('=')[0], known)}")
    return options


def _guarded(command: str, options: argparse.Namespace) -> int:
    """Run a command; turn what can go wrong into one line and the fixed exit code."""
    try:
        return int(options.run(options))
    except UserError as error:
        print(f"emospace {command}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print(f"emospace {command}: interrupted; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_FAILURE
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        print(f"emospace {command}: cannot write {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILURE


def entry() -> NoReturn:
    """Console entry point."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
