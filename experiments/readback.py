"""A stage run from its folder's files alone, without the command that made it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from conventions.errors import UserError, nearest
from experiments import legacy
from experiments.graph import STAGES
from experiments.rundir import RunFolder, list_runs
from experiments.stage import StageRun


def read_run(folder: RunFolder) -> StageRun:
    """The stage run whose folder this is, with its parents, from their folders."""
    parents = folder.read("provenance.json").get("parents", {})
    runs = {role: read_run(RunFolder(folder.path.parent / name)) for role, name in parents.items()}
    return dataclasses.replace(read_alone(folder), parents=runs)


def read_alone(folder: RunFolder) -> StageRun:
    """The stage run without its parents, which need not be there; UserError where no run is."""
    status, place = folder.status, folder.path / "config.yaml"
    if status.get("stage") not in STAGES or not {"seed", "hash"} <= status.keys() or not place.exists():
        raise UserError(f"{folder.path}: is not a run folder")
    config = legacy.read_config(folder)
    labels = (STAGES[status["stage"]], status.get("variant", "full"), status["seed"], status["hash"])
    return StageRun(folder.id, *labels, config, {}, status.get("fields", {}))


def finished(runs: Path, names: Sequence[str]) -> list[str]:
    """The runs to publish: those named, else all finished ones; UserError for one that is absent or not finished."""
    states = {run.id: run.state for run in list_runs(runs)}
    for name in names:
        if name not in states:
            raise UserError(f"run {name!r} is not in {runs}{nearest(name, states)}")
        if states[name] != "done":
            raise UserError(f"run {name}: is {states[name]}; only finished runs are published")
    done = [name for name, state in states.items() if state == "done"]
    if not done:
        raise UserError(f"{runs}: contains no finished run; `emospace run toy` makes one")
    return list(names) or done
