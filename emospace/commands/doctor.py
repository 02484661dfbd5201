"""Report versions, devices, optional packages and weights of this machine, and how to get what is missing."""

import argparse
import sys

from emospace.commands.output import add_json, print_json

EXAMPLE = "emospace doctor --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace doctor`."""
    add_json(parser)
    parser.add_argument(
        "--fetch",
        metavar="FILE",
        nargs="+",
        default=[],
        help="first download these weight files to EMOSPACE_WEIGHTS or the user's cache, checked by SHA-256",
    )


def run(options: argparse.Namespace) -> int:
    """Print the report; exit code 1 when a required package is missing."""
    from emospace.doctor import examine, fetch, lines

    for name in options.fetch:
        print(f"{name}: {fetch(name)}", file=sys.stderr)
    found = examine()
    if options.json:
        print_json(found)
    else:
        print("\n".join(lines(found)))
    return 1 if found["missing"] else 0
