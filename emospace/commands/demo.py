"""The whole thread on the toy world, in minutes on two cores: world, store, training, table, talking face, report.

Everything lands in work/ and runs/ of the present folder; called again, only what is missing is made.
"""

import argparse
from pathlib import Path

from emospace.commands.output import add_runs

EXAMPLE = "emospace demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace demo`."""
    parser.add_argument("--work", type=Path, default=Path("work"), help="folder of video and report (default work)")
    add_runs(parser)


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    from emospace.demo import demo

    return demo(options.work, options.runs)
