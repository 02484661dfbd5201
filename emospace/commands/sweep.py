"""Run every run of a sweep that is missing. SWEEP is a name in experiments/sweeps or a YAML file in W&B's schema."""

import argparse

from emospace.commands.output import add_json, add_runs, print_json

EXAMPLE = "emospace sweep table3 --slots 2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace sweep`."""
    parser.add_argument("sweep", metavar="SWEEP")
    parser.add_argument("--slots", type=int, default=1, help="runs at a time (default 1)")
    parser.add_argument("--launcher", default="local", help="local or slurm")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Expand, launch, and print the table of states."""
    import os

    from experiments.launchers import run_sweep, states_table
    from experiments.sweep import expand_sweep

    sweep = expand_sweep(options.sweep)
    os.environ["EMOSPACE_RUNS"] = str(options.runs)
    logs = options.runs / ".logs" / sweep.name
    code, reports = run_sweep(sweep.jobs, logs, slots=options.slots, kind=options.launcher)
    if options.json:
        rows = [{"job": r.job.label, "state": r.state, "reason": r.reason, "seconds": r.seconds} for r in reports]
        print_json({"sweep": sweep.name, "exit_code": code, "runs": rows})
    else:
        print(states_table(reports))
    return code
