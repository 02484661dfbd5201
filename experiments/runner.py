"""Executes planned stage runs: skips what is done, waits for shared parents, resumes, records how each one ended."""

import contextlib
import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from omegaconf import OmegaConf

from conventions.errors import EXIT_FAILURE, EXIT_INTERRUPTED, UserError
from experiments.graph import Experiment, StageRun, plan
from experiments.interruption import InterruptedRunError, Interruption
from experiments.parents import check_parents, weights_of_parents
from experiments.progress import Progress, heartbeat, say
from experiments.provenance import difference, peak_memory_bytes, provenance
from experiments.rundir import RunFolder, RunLockedError
from experiments.tracking import Mirror

WAIT_SECONDS = 1.0


@dataclass(frozen=True)
class Measured:
    """What a stage found: its metrics (NaN where undefined) and further facts for metrics.json."""

    metrics: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What a stage's work is given."""

    run: StageRun
    runs: Path
    folder: RunFolder
    progress: Progress
    interruption: Interruption
    mirror: Mirror


Worker = Callable[[Work], Measured]
"""Does a stage's work from wherever it stands, and measures the result."""


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


def execute(
    experiment: Experiment, runs: Path, store: Mapping[str, Any], workers: Mapping[str, Worker], *, force: bool = False
) -> Result:
    """Run every stage that `experiment` needs; `store` describes the store and holds its `hash`.

    RunLockedError when another process works on the target itself; a shared parent is waited for instead.
    """
    planned = plan(experiment, str(store["hash"]))
    target = planned[-1]
    if force and (place := target.folder(runs).archive()) is not None:
        say(f"{target.id}: the earlier run is kept in {place}")
    outcomes: list[StageOutcome] = []
    if target.folder(runs).state() == "done":
        return Result(0, target.id, [StageOutcome(target.id, target.stage, "was done", 0.0)])
    with Interruption().listening() as interruption:
        for run in planned:
            outcomes.append(_run_stage(run, runs, store, workers[run.stage], interruption, waits=run is not target))
            if outcomes[-1].state == "failed":
                return Result(EXIT_FAILURE, target.id, outcomes)
            if outcomes[-1].state == "interrupted":
                return Result(EXIT_INTERRUPTED, target.id, outcomes)
    return Result(0, target.id, outcomes)


def _run_stage(
    run: StageRun, runs: Path, store: Mapping[str, Any], worker: Worker, interruption: Interruption, waits: bool
) -> StageOutcome:
    folder, begun = run.folder(runs), time.monotonic()

    def outcome(state: Literal["done", "was done", "failed", "interrupted"], reason: str | None = None) -> StageOutcome:
        return StageOutcome(run.id, run.stage, state, time.monotonic() - begun, reason)

    if folder.state() == "done":
        return outcome("was done")
    try:
        with _held(folder, interruption, waits):
            if folder.state() == "done":
                return outcome("was done")
            _begin(run, runs, store)
            reason = _recorded(run, runs, folder, worker, interruption, final=not waits)
    except InterruptedRunError:
        say(f"{run.id}: interrupted; the same command goes on from here")
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
            say(f"{folder.id}: waiting for process {folder.status.get('pid')}, which makes this shared parent")
            said = True
        time.sleep(WAIT_SECONDS)


def _begin(run: StageRun, runs: Path, store: Mapping[str, Any]) -> None:
    """Write down what begins: config, provenance, the patch of changed code, status."""
    import os

    folder = run.folder(runs)
    check_parents(run, runs, str(store["hash"]))
    folder.write_text("config.yaml", OmegaConf.to_yaml(OmegaConf.structured(run.config)))
    parents = {role: parent.id for role, parent in run.parents.items()}
    origin = provenance(store, parents, run.config)
    folder.write("provenance.json", {**origin, "parent_weights": weights_of_parents(run, runs)})
    if patch := difference():
        folder.write_text("changes.patch", patch)
    identity = {"hash": run.hash, "stage": run.stage, "variant": run.variant, "seed": run.seed}
    folder.set_status("running", pid=os.getpid(), **identity)


def _recorded(
    run: StageRun, runs: Path, folder: RunFolder, worker: Worker, interruption: Interruption, final: bool
) -> str | None:
    """Do the work and write down how it ended; the reason when it failed. UserError goes on to the user."""
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
            measured = worker(Work(run, runs, folder, progress, interruption, mirror))
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
    """metrics.json: finite values under `metrics`, the names without a value under `undefined`."""
    finite = {name: float(value) for name, value in measured.metrics.items() if math.isfinite(value)}
    undefined = [name for name in measured.metrics if name not in finite]
    content = {"hash": run.hash, "stage": run.stage, "required": list(finite), "metrics": finite}
    folder.write("metrics.json", {**content, "undefined": undefined, **measured.facts})
