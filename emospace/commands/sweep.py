"""Run the missing runs of a sweep. SWEEP is a name in experiments/sweeps or a YAML file in W&B's schema.

With --launcher slurm the runs become one job array. Ctrl-C leaves the array running; the same command follows it again
and submits only runs that are neither done nor queued nor running.
"""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from conventions.errors import UserError
from emospace.commands.output import add_json, add_runs, print_json

if TYPE_CHECKING:
    from emospace.sweeps import Point
    from experiments.launchers import JobReport
    from experiments.rundir import State
    from experiments.sweep import Sweep, SweepJob

EXAMPLE = "emospace sweep table3 --launcher slurm --partition gpu --gpus 1 --cpus 8"

SLURM_ONLY = {"partition": "partition", "time": "minutes", "gpus": "gpus", "cpus": "cpus", "mem": "memory_gb"}
"""Options of Slurm alone, and the fields of `experiments.slurm.Resources` that they set."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `emospace sweep`."""
    parser.add_argument("sweep", metavar="SWEEP", help="name of a sweep, or a YAML file")
    parser.add_argument("--slots", type=int, help="concurrent runs (default: 1 with local, all with slurm)")
    parser.add_argument(
        "--launcher", choices=("local", "slurm"), default="local", help="this machine (default) or a job array"
    )
    slurm = parser.add_argument_group("with --launcher slurm")
    slurm.add_argument("--partition", help="partition (default: the cluster's)")
    slurm.add_argument("--time", type=int, metavar="MINUTES", help="limit, after which a run resumes (default 240)")
    slurm.add_argument("--gpus", type=int, help="GPUs for each run (default none)")
    slurm.add_argument("--cpus", type=int, help="CPU cores for each run (default: the cluster's)")
    slurm.add_argument("--mem", type=int, metavar="GB", help="memory for each run (default: the cluster's)")
    slurm.add_argument("--no-wait", action="store_true", help="return once the runs are submitted")
    add_runs(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Check every point, launch, and print the runs, best first."""
    from ablations.sweep_table import sweep_table
    from emospace.sweeps import check_points, read_points
    from experiments.sweep import expand_sweep

    given = _slurm_options(options)
    sweep = expand_sweep(options.sweep)
    points = read_points(sweep, options.runs)
    check_points(points)
    code, reports = _launch(options, sweep, points, given)
    found = [(points[report.job].folder(), report.state, report.reason) for report in reports]
    table = sweep_table(sweep, found)
    if options.json:
        timed = {r.job.label: {"seconds": r.seconds, "task": r.task} for r in reports}
        document = table.json()
        print_json({**document, "exit_code": code, "runs": [{**row, **timed[row["job"]]} for row in document["runs"]]})
    else:
        print(table.markdown(), end="")
    return code


def _launch(
    options: argparse.Namespace, sweep: "Sweep", points: "Mapping[SweepJob, Point]", slurm: Mapping[str, Any]
) -> "tuple[int, list[JobReport]]":
    from experiments.launchers import local_launcher, run_sweep, run_variables
    from experiments.slurm import Resources, SlurmLauncher

    def state_of(job: "SweepJob") -> "State":
        return points[job].state()

    wait = not options.no_wait
    if options.launcher == "slurm":
        launcher = SlurmLauncher(Resources(**slurm), options.runs, state_of, slots=options.slots, wait=wait)
    else:
        slots = 1 if options.slots is None else options.slots
        launcher = local_launcher(slots, state_of, run_variables(options.runs, sweep.name))
    code, reports = run_sweep(sweep.jobs, options.runs / ".logs" / sweep.name, launcher)
    return code if wait else 0, reports


def _slurm_options(options: argparse.Namespace) -> dict[str, Any]:
    """Fields of `Resources` that were given; UserError with the local launcher, which ignores them."""
    given = {name: getattr(options, name) for name in SLURM_ONLY if getattr(options, name) is not None}
    if options.launcher != "slurm" and (given or options.no_wait):
        raise UserError(f"--{next(iter(given), 'no-wait')}: has no effect without --launcher slurm")
    return {SLURM_ONLY[name]: value for name, value in given.items()}
