"""Run folders of the first identity, `<experiment>-<stage>.<variant>.s<seed>.<hash8>`, which stay readable.

Their configurations have fields that are gone; their ids are found by experiment, variant and seed.
"""

import copy
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.compose import deep_merge, load_yaml, merge
from experiments.graph import Experiment
from experiments.rundir import RunFolder
from experiments.schema import ExperimentConfig

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


def find(runs: Path, experiment: Experiment, seed: int) -> RunFolder | None:
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
