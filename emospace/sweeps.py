"""Sweeps: their runs, composed, planned and checked in this process before they are launched; and their tables."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ablations.paper import TABLES
from ablations.registry import compose_variant
from ablations.sweep_table import SweepTable, folder_found, sweep_table
from ablations.variants import FILES, YAML, is_table
from conventions.errors import UserError
from experiments.compose import load_yaml
from experiments.graph import STAGES, Experiment, plan
from experiments.rundir import RunFolder, State
from experiments.sweep import Sweep, SweepJob, expand_sweep, sweep_names


@dataclass(frozen=True)
class Point:
    """What the words of one `emospace run` mean."""

    experiment: Experiment
    runs: Path
    force: bool

    def folder(self) -> RunFolder | None:
        """The folder of the run that it ends with; None while a store or a file that identifies it is not there."""
        try:
            return plan(self.experiment)[-1].folder(self.runs)
        except UserError:
            return None

    def state(self) -> State:
        """The verified state of its run; `missing` with `--force`, which makes it again."""
        folder = None if self.force else self.folder()
        return "missing" if folder is None else folder.state()


def read_point(words: Sequence[str], runs: Path) -> Point:
    """The point of the words after `emospace run`; UserError where they are wrong."""
    from emospace.cli import parse

    options = parse(_run_parser(runs), words)
    target = options.stage
    experiment = compose_variant(options.experiment, options.variant, options.seed, options.overrides, target)
    return Point(experiment, options.runs, options.force)


def read_points(sweep: Sweep, runs: Path) -> dict[SweepJob, Point]:
    """Every point of a sweep; UserError for the first whose words are wrong, or which never has the sweep's metric."""
    points = dict[SweepJob, Point]()
    for job in sweep.jobs:
        with _named(job):
            points[job] = read_point(job.words, runs)
            _check_metric(sweep, points[job].experiment)
    return points


def check_points(points: Mapping[SweepJob, Point]) -> None:
    """UserError for the first point whose plan cannot give a result; one whose data the toy world has still to write
    is checked by its own run.

    A run that several points share is checked once, and a point that is done not at all.
    """
    from experiments.checks import check_parts, check_plan
    from experiments.world import missing_data

    checked = set[str]()
    for job, point in points.items():
        with _named(job):
            check_parts(point.experiment.config)
            if missing_data(point.experiment):
                continue
            planned = plan(point.experiment)
            if not point.force and planned[-1].folder(point.runs).state() == "done":
                continue
            fresh = [run for run in planned if run.id not in checked]
            together = any(run.stage in ("eac", "hef") for run in fresh)
            check_plan(planned if together else fresh, point.runs)
            checked |= {run.id for run in planned}


@contextmanager
def _named(job: SweepJob) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{job.label}: {error}") from error


def _check_metric(sweep: Sweep, experiment: Experiment) -> None:
    """UserError where a run that is done has no value of the sweep's metric."""
    if sweep.goal is None or sweep.goal.metric.startswith("test/"):
        return
    metric, config = sweep.goal.metric, experiment.config
    steps, every = STAGES[experiment.target].num_steps(config), config.trainer.val_every
    if not steps:
        raise UserError(
            f"the sweep's metric {metric} is logged by training, and the stage {experiment.target} trains nothing; "
            "end with --stage ame, eac or hef, or give test/NAME"
        )
    if metric.startswith("val/") and steps < every:
        raise UserError(
            f"the sweep's metric {metric} is logged every {every} batches of {steps}; lower trainer.val_every"
        )


@functools.lru_cache(maxsize=4)
def _run_parser(runs: Path):
    from emospace.cli import build_parser

    parser = build_parser("run")
    parser.set_defaults(runs=runs)
    return parser


def is_sweep(name: str) -> bool:
    """Whether a name or a YAML file is a sweep; a name of both is the table."""
    if name.endswith(YAML):
        return not is_table(load_yaml(Path(name)))
    return name not in (*TABLES, *FILES) and name in sweep_names()


def table_of_sweep(name: str, runs: Path) -> SweepTable:
    """The table of a sweep from whatever is there below `runs`."""
    sweep = expand_sweep(name)
    return sweep_table(sweep, [folder_found(folder) for folder in sweep_folders(sweep, runs)])


def sweep_folders(sweep: Sweep, runs: Path) -> list[RunFolder | None]:
    """The run folder of each point; None while a store or a file that identifies it is not there."""
    return [point.folder() for point in read_points(sweep, runs).values()]
