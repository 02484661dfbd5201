"""Stage runs from the files of their folders alone, without the command that made them.

Run folders of the first identity, `<experiment>-<stage>.<variant>.s<seed>.<hash8>`, stay readable: their configurations
have fields that are gone; their ids are found by experiment, variant and seed.
"""

import copy
import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from conventions.errors import UserError, nearest
from experiments.compose import deep_merge, load_yaml, merge
from experiments.graph import STAGES, Experiment
from experiments.rundir import RunFolder, list_runs
from experiments.schema import ExperimentConfig
from experiments.stage import StageRun

REMOVED = ("world.head",)
"""Dotted keys of older configurations that no longer exist."""
FORMER: Mapping[str, Mapping[str, Any]] = {
    "hef": {"motion": "projected"},
    "ame": {"audio": {"positions": "none"}},
    "eac": {"emotion_target": "render"},
}
"""Fields that older configurations lack, by section, with what held then where the default is another now."""
ID = re.compile(r"(?P<experiment>[^.]+)-[^.-]+\.[^.]+\.s\d+\.[0-9a-f]+")


def is_first_identity(run: str) -> bool:
    """Whether a run id is of the first identity."""
    return ID.fullmatch(run) is not None


def experiment_of(run: str) -> str:
    """The experiment in a run id of the first identity; empty for other ids."""
    found = ID.fullmatch(run)
    return found["experiment"] if found else ""


def upgraded(values: Mapping[str, Any]) -> dict[str, Any]:
    """An older configuration without the fields that are gone, and with what held then for newer ones."""
    tree = copy.deepcopy(dict(values))
    for key in REMOVED:
        *sections, name = key.split(".")
        inner: Any = tree
        for section in sections:
            inner = inner.get(section, {})
        inner.pop(name, None)
    return deep_merge({name: values for name, values in FORMER.items() if name in tree}, tree)


def read_config(folder: RunFolder) -> ExperimentConfig:
    """The configuration of a run folder of either identity."""
    values = upgraded(load_yaml(folder.path / "config.yaml"))
    return merge(ExperimentConfig, (f"{folder.id}/config.yaml", values))


def find_first_identity(runs: Path, experiment: Experiment, seed: int) -> RunFolder | None:
    """The finished target of the first identity with the labels of `experiment`, and its values of overridden keys.

    None where there is none, or more than one.
    """
    name = f"{experiment.config.name}-{experiment.target}.{experiment.variant}.s{seed}"
    found = [RunFolder(path) for path in sorted(runs.glob(f"{name}.*"))]
    done = [folder for folder in found if folder.state() == "done" and _agrees(folder, experiment)]
    return done[0] if len(done) == 1 else None


def _agrees(folder: RunFolder, experiment: Experiment) -> bool:
    if not experiment.words:
        return True
    config = read_config(folder)
    return all(_value(config, key) == _value(experiment.config, key) for key in experiment.words)


def _value(config: ExperimentConfig, key: str) -> Any:
    return functools.reduce(getattr, key.split("."), config)


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
    config = read_config(folder)
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
