"""The stages of an experiment and how they lean on each other: what each one reads, trains on and inherits."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conventions.errors import UserError, nearest
from experiments.compose import experiment_sources, merge, nested, parse_overrides
from experiments.identity import canonical, run_id, stage_hash
from experiments.rundir import RunFolder
from experiments.schema import ExperimentConfig

FULL = "full"
"""The variant without differences; a stage that a variant does not touch is the full model's."""

Parents = Mapping[str, tuple[str, ExperimentConfig]]


@dataclass(frozen=True)
class StageSpec:
    """One stage: what of a config it reads, and its parents by role."""

    sections: Callable[[ExperimentConfig], Mapping[str, Any]]
    parents: Callable[[ExperimentConfig], Parents] = lambda config: {}
    stand_in: bool = False
    """Replaces weights that one would download: trained at `prior_seed`, the same for all seeds of the experiment."""
    uses_store: bool = True
    """False: trained on the toy world's pictures or words alone, whatever the store."""


def _critic_sections(config: ExperimentConfig) -> Mapping[str, Any]:
    judges = config.judges
    shared = {name: getattr(judges, name) for name in ("temperature", "held_out", "pictures_per_person")}
    return {"critics": judges.critics, "shared": shared, "world": config.world, "trainer": config.trainer}


def _judge_sections(config: ExperimentConfig) -> Mapping[str, Any]:
    own = {name: value for name, value in canonical(config.judges).items() if name != "critics"}
    return {"judges": own, "split": config.data.split, "world": config.world, "trainer": config.trainer}


def _reference_sections(config: ExperimentConfig) -> Mapping[str, Any]:
    chosen = {"clips": config.evaluate.clips, "max_clips": config.evaluate.max_clips}
    return {"data": config.data, "resolution": config.hef.resolution, **chosen}


def _eac_parents(config: ExperimentConfig) -> Parents:
    critics = {"critics": ("critics", config)} if config.eac.weights.emotion > 0 else {}
    return {"ame": ("ame", config), **critics}


def _hef_parents(config: ExperimentConfig) -> Parents:
    """HEF keeps its own emotion encoding, so that the encoding ablation compares EAC alone (the paper's Fig. 10)."""
    text = dataclasses.replace(config.ame.text, encoding=config.hef.text_encoding)
    own = dataclasses.replace(config, ame=dataclasses.replace(config.ame, text=text))
    weights = config.hef.weights
    critics = {"critics": ("critics", config)} if max(weights.emotion, weights.identity, weights.perceptual) > 0 else {}
    return {"ame": ("ame", own), **critics}


def _named(*names: str) -> Callable[[ExperimentConfig], Parents]:
    return lambda config: {name: (name, config) for name in names}


STAGES: Mapping[str, StageSpec] = {
    "clip": StageSpec(
        lambda c: {"prior": c.prior.clip, "world": c.world, "trainer": c.trainer}, stand_in=True, uses_store=False
    ),
    "gpt2": StageSpec(lambda c: {"prior": c.prior.gpt2, "trainer": c.trainer}, stand_in=True, uses_store=False),
    "critics": StageSpec(_critic_sections, stand_in=True, uses_store=False),
    "judges": StageSpec(_judge_sections, stand_in=True),
    "ame": StageSpec(
        lambda c: {"data": c.data, "ame": c.ame, "trainer": c.trainer}, lambda c: _named(*c.ame.parents())(c)
    ),
    "eac": StageSpec(lambda c: {"data": c.data, "eac": c.eac, "trainer": c.trainer}, _eac_parents),
    "hef": StageSpec(lambda c: {"data": c.data, "hef": c.hef, "trainer": c.trainer}, _hef_parents),
    "references": StageSpec(_reference_sections, _named("judges"), stand_in=True),
    "evaluate": StageSpec(
        lambda c: {"data": c.data, "evaluate": c.evaluate}, _named("eac", "hef", "judges", "references")
    ),
}
"""`references` scores the true clips and the copied source portrait: the rows that every table shows beside its own."""


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
    seed = config.prior_seed if spec.stand_in else config.seed
    hashes = {role: parent.hash for role, parent in parents.items()}
    digest = stage_hash(stage, spec.sections(config), hashes, store if spec.uses_store else "", seed)
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
