"""The stages of an experiment and how they lean on each other: what each one reads, trains on and inherits."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from conventions.errors import UserError, nearest
from experiments.compose import experiment_sources, experiment_texts, merge, nested, parse_overrides
from experiments.identity import Written, canonical, run_id, stage_hash, written
from experiments.rundir import RunFolder
from experiments.schema import ExperimentConfig, TrainerConfig
from experiments.vary import vary
from lightning_modules.standins.judges.config import JudgesConfig

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


def alone(config: ExperimentConfig) -> TrainerConfig:
    """How stand-ins are trained: in one process, however many the experiment's own stages have."""
    return config.trainer if config.trainer.devices == 1 else dataclasses.replace(config.trainer, devices=1)


def _critic_sections(config: ExperimentConfig) -> Mapping[str, Any]:
    judges = config.judges
    shared = written({name: getattr(judges, name) for name in ("temperature", "held_out", "pictures_per_person")})
    return {"critics": judges.critics, "shared": shared, "world": config.world, "trainer": alone(config)}


def _judge_sections(config: ExperimentConfig) -> Mapping[str, Any]:
    return {
        "judges": _without_critics(config.judges),
        "split": config.data.split,
        "world": config.world,
        "trainer": alone(config),
    }


@functools.lru_cache(maxsize=64)
def _without_critics(judges: JudgesConfig) -> Written:
    return written({name: value for name, value in canonical(judges).items() if name != "critics"})


def _reference_sections(config: ExperimentConfig) -> Mapping[str, Any]:
    chosen = {"clips": config.evaluate.clips, "max_clips": config.evaluate.max_clips}
    return {"data": config.data, "resolution": config.hef.resolution, **chosen}


def _eac_parents(config: ExperimentConfig) -> Parents:
    critics = {"critics": ("critics", config)} if config.eac.weights.emotion > 0 else {}
    return {"ame": ("ame", config), **critics}


def _hef_parents(config: ExperimentConfig) -> Parents:
    """HEF keeps its own emotion encoding, so that the encoding ablation compares EAC alone (the paper's Fig. 10)."""
    own, weights = config, config.hef.weights
    if config.ame.text.encoding != config.hef.text_encoding:
        text = dataclasses.replace(config.ame.text, encoding=config.hef.text_encoding)
        own = dataclasses.replace(config, ame=dataclasses.replace(config.ame, text=text))
    critics = {"critics": ("critics", config)} if max(weights.emotion, weights.identity, weights.perceptual) > 0 else {}
    return {"ame": ("ame", own), **critics}


def _named(*names: str) -> Callable[[ExperimentConfig], Parents]:
    return lambda config: {name: (name, config) for name in names}


def _clip_sections(config: ExperimentConfig) -> Mapping[str, Any]:
    return {"prior": config.prior.clip, "shape": _shape("clip"), "world": config.world, "trainer": alone(config)}


def _gpt2_sections(config: ExperimentConfig) -> Mapping[str, Any]:
    return {"prior": config.prior.gpt2, "shape": _shape("gpt2"), "trainer": alone(config)}


@functools.cache
def _shape(name: str) -> Written:
    """The stand-in's architecture, which stands in a JSON file and not in the config."""
    path = resources.files("lightning_modules.standins.priors") / f"{name}.json"
    return written(json.loads(path.read_text(encoding="utf-8")))


STAGES: Mapping[str, StageSpec] = {
    "clip": StageSpec(_clip_sections, stand_in=True, uses_store=False),
    "gpt2": StageSpec(_gpt2_sections, stand_in=True, uses_store=False),
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
    """A composed experiment: its config, what the variant builds on, and the stage to reach."""

    config: ExperimentConfig
    lineage: tuple[tuple[str, ExperimentConfig], ...]
    """(variant, config) of what the variant builds on, the full model first: a stage bears the first name that fits."""
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
    builds_on: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Experiment:
    """The experiment from its YAML, a variant's `differences` (dotted key to value) and `key=value` words, in order.

    `builds_on` names variants, with their differences, whose stages this variant shares where it can.
    """
    if target not in STAGES:
        raise UserError(f"stage {target!r} is unknown{nearest(target, STAGES)}")
    name, texts = experiment_texts(experiment)
    words = [("overrides", parse_overrides(overrides))]
    last = [("seed", {"seed": seed})] if seed is not None else []

    def merged(*variant: tuple[str, Mapping[str, Any]]) -> ExperimentConfig:
        changes = [*((f"variant {label}", nested(values)) for label, values in variant), *words, *last]
        standing = _of_files(name, texts)
        found = vary(standing, *(values for _, values in changes)) if standing else None
        return found or merge(ExperimentConfig, *_file_sources(name, texts), *changes)

    full = merged()
    lineage = ((FULL, full), *((label, merged((label, changes))) for label, changes in builds_on))
    return Experiment(merged((variant, differences)) if differences else full, lineage, variant, target)


Texts = tuple[tuple[Path, str], ...]


@functools.lru_cache(maxsize=16)
def _of_files(name: str, texts: Texts) -> ExperimentConfig | None:
    """The experiment as its files say it; None where they are wrong or have values that refer to others."""
    if any("${" in text for _, text in texts):
        return None
    with contextlib.suppress(UserError):
        return merge(ExperimentConfig, *_file_sources(name, texts))


def _file_sources(name: str, texts: Texts) -> list[tuple[str, Mapping[str, Any]]]:
    return [("name", {"name": name}), *experiment_sources(texts)]


def plan(experiment: Experiment, store: str) -> list[StageRun]:
    """Every stage run that the target needs, parents first, each once; `store` is the store's hash."""
    known: dict[str, StageRun] = {}
    for variant, config in experiment.lineage:
        _named_after(variant, _plan(experiment.target, config, store), known)
    target = _named_after(experiment.variant, _plan(experiment.target, experiment.config, store), known)
    return list({run.id: run for run in _every(target)}.values())


@functools.lru_cache(maxsize=64)
def _plan(target: str, config: ExperimentConfig, store: str) -> StageRun:
    """The target with its parents, all under the full model's name; variants share the full model's planning."""
    known: dict[tuple[str, int], StageRun] = {}  # by the config's id: a StageRun keeps its config alive

    def planned(stage: str, config: ExperimentConfig) -> StageRun:
        if (stage, id(config)) not in known:
            known[stage, id(config)] = _staged(stage, config, store, planned)
        return known[stage, id(config)]

    return planned(target, config)


def _staged(
    stage: str, config: ExperimentConfig, store: str, planned: Callable[[str, ExperimentConfig], StageRun]
) -> StageRun:
    spec = STAGES[stage]
    parents = {role: planned(name, parent) for role, (name, parent) in sorted(spec.parents(config).items())}
    seed = config.prior_seed if spec.stand_in else config.seed
    hashes = {role: parent.hash for role, parent in parents.items()}
    digest = stage_hash(stage, spec.sections(config), hashes, store if spec.uses_store else "", seed)
    return StageRun(run_id(config.name, stage, FULL, seed, digest), stage, FULL, seed, digest, config, parents)


def _every(run: StageRun) -> list[StageRun]:
    return [inner for parent in run.parents.values() for inner in _every(parent)] + [run]


def _named_after(variant: str, run: StageRun, known: dict[str, StageRun]) -> StageRun:
    """The same run with every stage named after the variant, except those that are known by an earlier name."""
    if run.hash not in known:
        parents = {role: _named_after(variant, parent, known) for role, parent in run.parents.items()}
        name = run_id(run.config.name, run.stage, variant, run.seed, run.hash)
        known[run.hash] = dataclasses.replace(run, id=name, variant=variant, parents=parents)
    return known[run.hash]
