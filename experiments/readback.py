"""A stage run from its folder's files alone, without the command that made it."""

import dataclasses

from conventions.errors import UserError
from experiments.compose import load_yaml, merge
from experiments.graph import StageRun
from experiments.rundir import RunFolder
from experiments.schema import ExperimentConfig


def read_run(folder: RunFolder) -> StageRun:
    """The stage run whose folder this is, with its parents, from their folders."""
    parents = folder.read("provenance.json").get("parents", {})
    runs = {role: read_run(RunFolder(folder.path.parent / name)) for role, name in parents.items()}
    return dataclasses.replace(read_alone(folder), parents=runs)


def read_alone(folder: RunFolder) -> StageRun:
    """The stage run without its parents, which need not be there; UserError where no run is."""
    status, place = folder.status, folder.path / "config.yaml"
    if not status or not place.exists():
        raise UserError(f"{folder.path}: no run is here")
    config = merge(ExperimentConfig, (f"{folder.id}/config.yaml", load_yaml(place)))
    return StageRun(folder.id, status["stage"], status["variant"], status["seed"], status["hash"], config, {})
