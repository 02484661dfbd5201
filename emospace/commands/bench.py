"""Parameters, FLOPs, time and memory of each module and preset."""

import argparse

from emospace.commands.later import refuse, swallow

EXAMPLE = "emospace bench --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace bench`: none are read yet."""
    swallow(parser)


def run(options: argparse.Namespace) -> int:
    """Say in one line that this is not built yet."""
    return refuse("bench", "the scripts in benchmarks/ measure the parts")
