"""Executes planned stage runs: skips what is done, waits for shared parents, resumes, records how each one ended."""

import contextlib
import math
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from conventions.errors import EXIT_FAILURE, EXIT_INTERRUPTED, UserError
from experiments.checks import check_parents, check_plan, weights_of_parents
from experiments.graph import Experiment, plan
from experiments.launch import Launch, find_launch, leading, world_size
from experiments.progress import InterruptedRunError, Interruption, Progress, heartbeat, say
from experiments.provenance import difference, peak_memory_bytes, provenance
from experiments.rundir import RunFolder, RunLockedError
from experiments.stage import Measured, StageRun, Work
from experiments.sweep import SWEEP
from experiments.tracking import Mirror
from experiments.values import to_yaml

WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class StageOutcome:
    """How one stage run ended in this call."""

    id: str
    stage: str
    state: Literal["done", "was done", "failed", "interrupted"]
    seconds: float
    reason: str | None = None


@dataclass(frozen=True)
class Result:
    """How an execution ended: an exit code of the command line, the target's id, and every stage in order."""

    exit_code: int
    target: str
    outcomes: list[StageOutcome]


def execute(experiment: Experiment, runs: Path, *, force: bool = False) -> Result:
    """Run every stage that an experiment needs and that is not done.

    The whole plan is checked before training starts. While another process trains a shared parent, this one turns to
    stages that do not need it, then waits; the processes of a distributed run keep the order of the plan.

    Args:
        experiment: what `compose_variant` returns.
        runs: folder of the run folders.
        force: run the target again; its earlier folder is kept under another name.

    Returns:
        Exit code, the target's id, and how each stage ended.

    Raises:
        UserError: the plan cannot run: a key, a file or a store is not usable.
        RunLockedError: another process works on the target itself.
    """
    planned, launch = plan(experiment), find_launch(experiment.config.trainer)
    target = planned[-1]
    if force and (place := target.folder(runs).archive()) is not None:
        say(f"{target.id}: the earlier run was moved to {place}")
    if target.folder(runs).state() == "done":
        return Result(0, target.id, [StageOutcome(target.id, target.stage, "was done", 0.0)])
    check_plan(planned, runs)
    outcomes: list[StageOutcome] = []
    with leading(experiment.config.trainer, launch), Interruption().listening() as interruption:
        fixed, left = world_size(experiment.config.trainer) > 1, list(planned)
        while left:
            run = left[0] if fixed else _next(left, runs)
            left.remove(run)
            outcomes.append(_run_stage(run, runs, launch, interruption, waits=run is not target))
            if outcomes[-1].state == "failed":
                return Result(EXIT_FAILURE, run.id, outcomes)
            if outcomes[-1].state == "interrupted":
                return Result(EXIT_INTERRUPTED, run.id, outcomes)
    return Result(0, target.id, outcomes)


def _next(left: Sequence[StageRun], runs: Path) -> StageRun:
    """The first stage whose parents are done and that no other process is running; else the first one."""
    ids = {run.id for run in left}
    ready = (run for run in left if not any(parent.id in ids for parent in run.parents.values()))
    return next((run for run in ready if run.folder(runs).state() != "running"), left[0])


def _run_stage(run: StageRun, runs: Path, launch: Launch, interruption: Interruption, waits: bool) -> StageOutcome:
    folder, begun = run.folder(runs), time.monotonic()

    def outcome(state: Literal["done", "was done", "failed", "interrupted"], reason: str | None = None) -> StageOutcome:
        return StageOutcome(run.id, run.stage, state, time.monotonic() - begun, reason)

    if folder.state() == "done":
        return outcome("was done")
    try:
        with _held(folder, interruption, waits):
            if folder.state() == "done":
                return outcome("was done")
            _begin(run, runs, launch)
            reason = _recorded(run, runs, folder, interruption, final=not waits)
    except InterruptedRunError:
        say(f"{run.id}: interrupted; the same command continues it")
        return outcome("interrupted")
    return outcome("failed", reason) if reason else outcome("done")


@contextlib.contextmanager
def _held(folder: RunFolder, interruption: Interruption, waits: bool) -> Iterator[None]:
    """The run's lock, now or, for a shared parent, as soon as its present holder is done."""
    said = False
    while True:
        interruption.check()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(folder.lock())
            except RunLockedError:
                if not waits:
                    raise
            else:
                yield
                return
        if not said:
            say(f"{folder.id}: waiting for process {folder.status.get('pid')}, which trains this shared parent")
            said = True
        time.sleep(WAIT_SECONDS)


def _begin(run: StageRun, runs: Path, launch: Launch) -> None:
    """Record what begins: config, provenance, the patch of changed code, status."""
    folder = run.folder(runs)
    check_parents(run, runs)
    folder.write_text("config.yaml", to_yaml(run.config))
    folder.write("provenance.json", {**provenance(run), "parent_weights": weights_of_parents(run, runs)})
    if patch := difference():
        folder.write_text("changes.patch", patch)
    labels = {"experiment": run.config.name, "variant": run.variant, "seed": run.seed, "fields": dict(run.fields)}
    identity = {"hash": run.hash, "stage": run.stage, "title": run.title, **labels}
    folder.set_status("running", pid=os.getpid(), launch=launch.name, sweep=os.environ.get(SWEEP, ""), **identity)


def _recorded(run: StageRun, runs: Path, folder: RunFolder, interruption: Interruption, final: bool) -> str | None:
    """Do the work and record how it ended; the reason when it failed. UserError goes on to the user."""
    progress, begun = Progress(run.id, 0), time.monotonic()
    before = folder.status.get("seconds") or 0.0
    mirror = Mirror(run, folder, run.config.tracking, final)

    def end(state: Literal["done", "failed", "interrupted"], reason: str | None = None) -> None:
        used: dict[str, Any] = {"seconds": round(before + time.monotonic() - begun, 2)}
        used["peak_memory_bytes"] = peak_memory_bytes()
        if progress.data_wait is not None:
            used["data_wait"] = round(progress.data_wait, 4)
        folder.set_status(state, reason=reason, step=progress.step, total=progress.total, **used)

    try:
        with heartbeat(folder, progress):
            measured = run.spec.work(Work(run, runs, folder, progress, interruption, mirror.follow))
        write_metrics(run, folder, measured)
        end("done")
        waited = "" if progress.data_wait is None else f", {progress.data_wait:.1%} of the training waiting for data"
        say(f"{run.id}: done in {folder.status['seconds']:.0f} s{waited}")
    except (InterruptedRunError, KeyboardInterrupt) as error:
        end("interrupted")
        raise InterruptedRunError from error
    except UserError as error:
        end("failed", str(error))
        raise
    except Exception as error:
        return _failed(folder, end, error)
    mirror.publish()
    return None


def _failed(folder: RunFolder, end: Callable[..., None], error: Exception) -> str:
    reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    end("failed", reason)
    folder.write_text("error.txt", "".join(traceback.format_exception(error)))
    say(f"{folder.id}: failed: {reason} (the trace is in {folder.path / 'error.txt'})")
    return reason


def write_metrics(run: StageRun, folder: RunFolder, measured: Measured) -> None:
    """metrics.json: finite values under `metrics`, the names without a value under `undefined`.

    ValueError for a metric without a value that the stage does not declare as possibly undefined.
    """
    finite = {name: float(value) for name, value in measured.metrics.items() if math.isfinite(value)}
    undefined = [name for name in measured.metrics if name not in finite]
    for name in undefined:
        if not any(fnmatchcase(name, pattern) for pattern in run.spec.undefined):
            raise ValueError(f"metric {name!r} of stage {run.stage} is not finite")
    content = {"hash": run.hash, "stage": run.stage, "required": list(finite), "metrics": finite}
    folder.write("metrics.json", {**content, "undefined": undefined, **measured.facts})
