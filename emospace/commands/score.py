"""The metric protocol over any method's videos."""

import argparse

from emospace.commands.later import refuse

EXAMPLE = "emospace score GENERATED TRUTH"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None are read yet."""


def run(options: argparse.Namespace) -> int:
    """Say in one line that this is not built yet."""
    return refuse("the metrics of our own runs are in their metrics.json")
