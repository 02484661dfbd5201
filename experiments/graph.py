"""The stages of an experiment and how they lean on each other: what each one reads, trains on and inherits."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conventions.errors import UserError, nearest
from experiments.compose import experiment_sources, merge, nested, parse_overrides
from experiments.identity import run_id, stage_hash
from experiments.rundir import RunFolder
from experiments.schema import ExperimentConfig

FULL = "full"
"""The variant without differences; a stage that a variant does not touch is the full model's."""

Parents = Mapping[str, tuple[str, ExperimentConfig]]


@dataclass(frozen=True)
class StageSpec:
    """One stage: the config sections it reads and, for a config, its parents by role."""

    sections: tuple[str, ...]
    parents: Callable[[ExperimentConfig], Parents]
    stand_in: bool = False
    """Replaces weights that one would download: trained at `prior_seed`, the same for all seeds of the experiment."""


def _no_parents(config: ExperimentConfig) -> Parents:
    return {}


def _ame_parents(config: ExperimentConfig) -> Parents:
    return {name: (name, config) for name in config.ame.parents()}


def _module_parents(config: ExperimentConfig) -> Parents:
    return {name: (name, config) for name in ("ame", "critics")}


def _evaluate_parents(config: ExperimentConfig) -> Parents:
    return {name: (name, config) for name in ("eac", "hef", "judges")}


STAGES: Mapping[str, StageSpec] = {
    "clip": StageSpec(("data", "prior", "trainer"), _no_parents, stand_in=True),
    "gpt2": StageSpec(("data", "prior", "trainer"), _no_parents, stand_in=True),
    "critics": StageSpec(("data", "judges", "trainer"), _no_parents, stand_in=True),
    "judges": StageSpec(("data", "judges", "trainer"), _no_parents, stand_in=True),
    "ame": StageSpec(("data", "ame", "trainer"), _ame_parents),
    "eac": StageSpec(("data", "eac", "trainer"), _module_parents),
    "hef": StageSpec(("data", "hef", "trainer"), _module_parents),
    "evaluate": StageSpec(("data", "evaluate"), _evaluate_parents),
}


@dataclass(frozen=True)
class Experiment:
    """A composed experiment: its config, the same without the variant's differences, and the stage to reach."""

    config: ExperimentConfig
    base: ExperimentConfig
    variant: str = FULL
    target: str = "evaluate"


@dataclass(frozen=True)
class StageRun:
    """One stage to run: its identity, its config (as this stage sees it) and its parents' runs by role."""

    id: str
    stage: str
    variant: str
    seed: int
    hash: str
    config: ExperimentConfig
    parents: Mapping[str, "StageRun"]

    def folder(self, runs: Path) -> RunFolder:
        """The run's folder below `runs`."""
        return RunFolder(runs / self.id)


def compose(
    experiment: str,
    variant: str = FULL,
    differences: Mapping[str, Any] | None = None,
    seed: int | None = None,
    overrides: list[str] | tuple[str, ...] = (),
    target: str = "evaluate",
) -> Experiment:
    """The experiment from its YAML, a variant's `differences` (dotted key to value) and `key=value` words, in order."""
    if target not in STAGES:
        raise UserError(f"stage {target!r} is unknown{nearest(target, STAGES)}")
    name, files = experiment_sources(experiment)
    words = [("overrides", parse_overrides(overrides))]
    last = [("seed", {"seed": seed})] if seed is not None else []
    named = [("name", {"name": name})]
    base = merge(ExperimentConfig, *named, *files, *words, *last)
    if not differences:
        return Experiment(base, base, variant, target)
    changed = merge(ExperimentConfig, *named, *files, (f"variant {variant}", nested(differences)), *words, *last)
    return Experiment(changed, base, variant, target)


def plan(experiment: Experiment, store: str) -> list[StageRun]:
    """Every stage run that the target needs, parents first, each once; `store` is the store's hash."""
    planned = _plan(experiment.target, experiment.config, store)
    shared = {run.hash for run in _every(_plan(experiment.target, experiment.base, store))}
    labelled = _relabel(planned, shared, experiment.variant, {})
    return list({run.id: run for run in _every(labelled)}.values())


def _plan(stage: str, config: ExperimentConfig, store: str) -> StageRun:
    spec = STAGES[stage]
    parents = {role: _plan(name, parent, store) for role, (name, parent) in sorted(spec.parents(config).items())}
    sections = {name: getattr(config, name) for name in spec.sections}
    seed = config.prior_seed if spec.stand_in else config.seed
    digest = stage_hash(stage, sections, {role: parent.hash for role, parent in parents.items()}, store, seed)
    return StageRun(run_id(config.name, stage, FULL, seed, digest), stage, FULL, seed, digest, config, parents)


def _every(run: StageRun) -> list[StageRun]:
    return [inner for parent in run.parents.values() for inner in _every(parent)] + [run]


def _relabel(run: StageRun, shared: set[str], variant: str, known: dict[str, StageRun]) -> StageRun:
    """The same runs named after the variant where the base experiment has no such run."""
    if run.hash not in known:
        label = FULL if run.hash in shared else variant
        parents = {role: _relabel(parent, shared, variant, known) for role, parent in run.parents.items()}
        name = run_id(run.config.name, run.stage, label, run.seed, run.hash)
        known[run.hash] = dataclasses.replace(run, id=name, variant=label, parents=parents)
    return known[run.hash]
