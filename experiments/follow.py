"""Further processes of a distributed run: they write nothing, and join each training that rank 0 begins."""

import os
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from conventions.errors import EXIT_FAILURE, UserError
from experiments.callbacks import run_callbacks
from experiments.launch import LAUNCH, Launch
from experiments.networks import Networks
from experiments.progress import InterruptedRunError, Interruption, Progress, say
from experiments.rundir import RunFolder
from experiments.stage import StageRun, Work
from experiments.stages.base import TrainedStage
from experiments.training import fit

POLL_SECONDS = 0.5


def follow(planned: Callable[[], Sequence[StageRun]], runs: Path, launch: Launch) -> int:
    """Join rank 0's trainings, in its order; the exit code.

    `planned` is called until it succeeds: rank 0 may still be preparing the store that identities depend on.
    """
    parent = os.getppid()
    for run in _patiently(planned, parent):
        joins = run.spec.distributed and run.spec.num_steps(run.config) > 0
        state = _await(run.folder(runs), launch, parent, until=("done", "running") if joins else ("done",))
        if state == "ended":
            return 0
        if state == "running" and not _join(run, runs, launch):
            return EXIT_FAILURE
    return 0


def _patiently(planned: Callable[[], Sequence[StageRun]], parent: int) -> Sequence[StageRun]:
    while True:
        try:
            return planned()
        except UserError:
            _wait(parent)


def _await(folder: RunFolder, launch: Launch, parent: int, until: Sequence[str]) -> str:
    """Wait until a run is done, or rank 0 is `running` it; `ended` when rank 0 has failed or stopped."""
    while True:
        status = folder.status
        state, ours = str(status.get("state")), status.get("launch") == launch.name
        if state == "done" or (ours and state in until):
            return state
        if ours and state in ("failed", "interrupted"):
            return "ended"
        _wait(parent)


def _wait(parent: int) -> None:
    """Sleep; end with the process that Lightning started this one from."""
    if LAUNCH in os.environ and os.getppid() != parent:
        raise SystemExit(0)
    time.sleep(POLL_SECONDS)


def _join(run: StageRun, runs: Path, launch: Launch) -> bool:
    """Train as a further rank; False when this rank failed, with its trace in the run folder."""
    assert isinstance(run.spec, TrainedStage)
    folder, steps = run.folder(runs), run.spec.num_steps(run.config)
    try:
        with Interruption().listening() as interruption:
            work = Work(run, runs, folder, Progress(run.id, steps, quiet=True), interruption)
            config = run.spec.trainer(run.config)
            module = Networks(runs).build(run)
            fit(module, run.spec.data(run), folder, config, steps, False, run_callbacks(work, config))
    except InterruptedRunError:
        raise SystemExit(0) from None  # rank 0 reports it
    except Exception as error:
        log = folder.path / f"rank{launch.rank}.txt"
        log.write_text("".join(traceback.format_exception(error)))
        say(f"{run.id}: rank {launch.rank} failed: {type(error).__name__} (see {log})")
        return False
    return True
