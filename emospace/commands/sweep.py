"""Run every run of a sweep that is missing. SWEEP is a name in experiments/sweeps or a YAML file in W&B's schema.

With --launcher slurm the runs become one job array. Ctrl-C leaves the array running; the same command follows it again
and submits only what is neither done nor on its way.
"""

import argparse
import functools
import os
from collections.abc import Sequence
from typing import Any

from conventions.errors import UserError
from emospace.commands.output import add_json, add_runs, print_json
from experiments.rundir import State

EXAMPLE = "emospace sweep table3 --launcher slurm --partition gpu --gpus 1 --cpus 8"

SLURM_ONLY = {"partition": "partition", "time": "minutes", "gpus": "gpus", "cpus": "cpus", "mem": "memory_gb"}
"""Options that only Slurm heeds, and the fields of `experiments.slurm.Resources` that they set."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace sweep`."""
    parser.add_argument("sweep", metavar="SWEEP")
    parser.add_argument("--slots", type=int, help="runs at a time (default: 1 here, all of them with slurm)")
    parser.add_argument("--launcher", choices=("local", "slurm"), default="local", help="where runs go (default local)")
    slurm = parser.add_argument_group("with --launcher slurm, for each run")
    slurm.add_argument("--partition", help="partition (default: the cluster's)")
    slurm.add_argument("--time", type=int, metavar="MINUTES", help="limit; a run goes on after it (default 240)")
    slurm.add_argument("--gpus", type=int, help="GPUs (default none)")
    slurm.add_argument("--cpus", type=int, help="CPU cores (default: the cluster's)")
    slurm.add_argument("--mem", type=int, metavar="GB", help="memory (default: the cluster's)")
    slurm.add_argument("--no-wait", action="store_true", help="return when the runs are submitted")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Expand, launch, and print the table of states."""
    from experiments.board import states_table
    from experiments.launchers import local_launcher, run_sweep
    from experiments.slurm import Resources, SlurmLauncher
    from experiments.sweep import SweepJob, expand_sweep

    def state_of(job: SweepJob) -> State:
        return run_state(job.words)

    given = _slurm_options(options)
    sweep = expand_sweep(options.sweep)
    os.environ["EMOSPACE_RUNS"] = str(options.runs)
    logs = options.runs / ".logs" / sweep.name
    if options.launcher == "slurm":
        wait = not options.no_wait
        launcher = SlurmLauncher(Resources(**given), options.runs, state_of, slots=options.slots, wait=wait)
    else:
        launcher = local_launcher(1 if options.slots is None else options.slots, state_of)
    code, reports = run_sweep(sweep.jobs, logs, launcher)
    if options.no_wait:
        code = 0
    if options.json:
        rows = [
            {"job": r.job.label, "state": r.state, "reason": r.reason, "seconds": r.seconds, "task": r.task}
            for r in reports
        ]
        print_json({"sweep": sweep.name, "exit_code": code, "runs": rows})
    else:
        print(states_table(reports))
    return code


def _slurm_options(options: argparse.Namespace) -> dict[str, Any]:
    """Fields of `Resources` that were given; UserError where the local launcher would not heed them."""
    given = {name: getattr(options, name) for name in SLURM_ONLY if getattr(options, name) is not None}
    if options.launcher != "slurm" and (given or options.no_wait):
        raise UserError(f"--{next(iter(given), 'no-wait')}: has no effect without --launcher slurm")
    return {SLURM_ONLY[name]: value for name, value in given.items()}


def run_state(words: Sequence[str]) -> State:
    """The verified state of what `emospace run *words` makes.

    `missing` also where its data are not there or its words are wrong: the run makes the data, or says what is wrong.
    """
    from ablations.registry import compose_variant
    from emospace.cli import parse
    from experiments.graph import plan

    try:
        options = parse(_run_parser(os.environ.get("EMOSPACE_RUNS")), words)
        if options.force:
            return "missing"
        choice = (options.experiment, options.variant, options.seed, options.overrides, options.stage)
        return plan(compose_variant(*choice))[-1].folder(options.runs).state()
    except (UserError, SystemExit):
        return "missing"


@functools.lru_cache(maxsize=1)
def _run_parser(runs: str | None) -> argparse.ArgumentParser:
    """The parser of `emospace run`; `runs` is the EMOSPACE_RUNS that its defaults come from."""
    from emospace.cli import build_parser

    return build_parser("run")
