"""Run the whole pipeline on the toy world: world, store, training, table, talking faces, report; minutes on two cores.

All output is in work/ and runs/ of the current folder. A second call makes only what is missing.
"""

import argparse
from pathlib import Path

from emospace.commands.output import add_runs

EXAMPLE = "emospace demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace demo`."""
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of videos and report (default work)")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    from emospace.demo import demo

    return demo(options.work, options.runs)
