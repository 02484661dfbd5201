"""List all runs and their states: done, running, interrupted, failed, damaged."""

import argparse
from dataclasses import asdict
from typing import get_args

from emospace.commands.output import add_json, add_runs, print_json
from experiments.rundir import State

EXAMPLE = "emospace status --stage eac --state failed interrupted"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace status`."""
    parser.add_argument("--stage", nargs="+", help="only runs of these stages")
    parser.add_argument("--state", nargs="+", choices=get_args(State), help="only runs in these states")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """One line a run."""
    from experiments.rundir import list_runs

    everything = list_runs(options.runs)
    stages, states = options.stage or {one.stage for one in everything}, options.state or get_args(State)
    runs = [one for one in everything if one.stage in stages and one.state in states]
    if options.json:
        print_json([asdict(run) for run in runs])
        return 0
    width = max((len(one.id) for one in runs), default=0)
    for one in runs:
        share = "     " if one.progress is None else f"{100 * one.progress:4.0f}%"
        seconds = "" if one.seconds is None else f"{one.seconds:.0f} s"
        reason = f"  ({one.reason})" if one.reason else ""
        print(f"{one.state:<12}{share}  {seconds:>7}  {one.id:<{width}}  {one.title}{reason}")
    if not runs:
        print(f"{options.runs}: no {'such ' if everything else ''}runs{'' if everything else ' yet'}")
    return 0
