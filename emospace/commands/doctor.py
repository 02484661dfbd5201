"""Examine this machine: versions, devices, optional packages and weights, and how to get what is missing."""

import argparse

from emospace.commands.output import add_json, print_json

EXAMPLE = "emospace doctor --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace doctor`."""
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the examination; fail when a required package is missing."""
    from emospace.doctor import examine, lines

    found = examine()
    if options.json:
        print_json(found)
    else:
        print("\n".join(lines(found)))
    return 1 if found["missing"] else 0
