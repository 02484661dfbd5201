"""Parameters, FLOPs, time and memory of each module and preset."""

import argparse

from emospace.commands.later import refuse

EXAMPLE = "emospace bench --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None are read yet."""


def run(options: argparse.Namespace) -> int:
    """Say in one line that this is not built yet."""
    return refuse("the scripts in benchmarks/ measure the parts")
