"""A paper figure (5 to 11) from finished runs."""

import argparse

from emospace.commands.later import refuse

EXAMPLE = "emospace figure 8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None are read yet."""


def run(options: argparse.Namespace) -> int:
    """Say in one line that this is not built yet."""
    return refuse("each run's samples/ holds strips of source, render, output, truth and flow")
