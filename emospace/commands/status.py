"""All runs and their states: done, running, interrupted, failed, damaged."""

import argparse
from dataclasses import asdict

from emospace.commands.output import add_json, add_runs, print_json

EXAMPLE = "emospace status --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace status`."""
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """One line a run."""
    from experiments.rundir import list_runs

    runs = list_runs(options.runs)
    if options.json:
        print_json([asdict(run) for run in runs])
        return 0
    for one in runs:
        share = "     " if one.progress is None else f"{100 * one.progress:4.0f}%"
        seconds = "" if one.seconds is None else f"{one.seconds:.0f} s"
        print(f"{one.state:<12}{share}  {seconds:>7}  {one.id}{f'  ({one.reason})' if one.reason else ''}")
    if not runs:
        print(f"{options.runs}: no runs yet")
    return 0
