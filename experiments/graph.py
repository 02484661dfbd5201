"""Which stages an experiment needs, in which order, and under which identity."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from conventions.errors import UserError, nearest
from datamodules.manifest import store_hash
from experiments.compose import experiment_sources, experiment_texts, merge, nested, parse_overrides, resolve
from experiments.identity import digest_of, hash_of, run_id
from experiments.schema import ExperimentConfig
from experiments.stage import Stage, StageRun
from experiments.stages.ame import AME
from experiments.stages.eac import EAC
from experiments.stages.evaluate import Evaluate, References
from experiments.stages.hef import HEF
from experiments.stages.standins import GPT2, Clip, Critics, Judges, LipSync
from metrics.published import refuse_shared

STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (Clip(), GPT2(), Critics(), Judges(), LipSync(), AME(), EAC(), HEF(), References(), Evaluate())
}
"""Every stage by name, parents before children."""

FULL = "full"
"""The variant without differences."""


@dataclass(frozen=True)
class Experiment:
    """A composed experiment: its configuration, what the variant builds on, and the stage to reach."""

    config: ExperimentConfig
    lineage: tuple[tuple[str, ExperimentConfig], ...]
    """(variant, config) of what the variant builds on, the full model first, itself last."""
    target: str = "evaluate"
    own_store: str = ""
    """`data.store` as the experiment's files name it: the only store that the toy world may fill."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Config keys of the command line, with their values as given."""

    @property
    def variant(self) -> str:
        """The variant's name."""
        return self.lineage[-1][0]


def compose(
    experiment: str,
    variant: str = FULL,
    differences: Mapping[str, Any] | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    target: str = "evaluate",
    builds_on: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> Experiment:
    """The experiment from its YAML, a variant's `differences` (dotted key to value) and `key=value` words, in order.

    `builds_on` names variants, with their differences, whose stages this variant shares where it can.
    """
    if target not in STAGES:
        raise UserError(f"stage {target!r} is unknown{nearest(target, STAGES)}")
    name, texts = experiment_texts(experiment)
    files = resolve(ExperimentConfig, [("name", {"name": name}), *experiment_sources(texts)])
    last = [("overrides", parse_overrides(overrides)), ("seed", {} if seed is None else {"seed": seed})]

    def merged(label: str, changes: Mapping[str, Any]) -> ExperimentConfig:
        return merge(ExperimentConfig, *files, (f"variant {label}", nested(changes)), *last)

    full = merged(FULL, {})
    refuse_shared(full.losses.networks.choice(), full.evaluate.networks.choice())
    lineage = [(FULL, full), *((label, merged(label, changes)) for label, changes in builds_on)]
    if differences:
        own = merged(variant, differences)
        if own == full:
            raise UserError(
                f"variant {variant!r}: changes nothing of experiment {name!r}; it would repeat the full model"
            )
        lineage.append((variant, own))
    return Experiment(lineage[-1][1], tuple(lineage), target, _own_store(files), _words(overrides))


def _own_store(files: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    named = [str(values["data"]["store"]) for _, values in files if "store" in (values.get("data") or {})]
    return named[-1] if named else ""


def _words(overrides: Sequence[str]) -> dict[str, str]:
    """Keys and values of words such as `eac.steps=200`, without the seed, which has a place of its own in labels."""
    pairs = (word.partition("=") for word in overrides)
    return {key: value for key, _, value in pairs if key != "seed"}


StoreHash = Callable[[str], str]
"""Folder of a store -> its content hash."""


def plan(experiment: Experiment, hash_of_store: StoreHash | None = None) -> list[StageRun]:
    """Every stage run that an experiment needs.

    Args:
        experiment: what `compose_variant` returns.
        hash_of_store: function from the folder of a store to its content hash; by default read from the store.

    Returns:
        Stage runs, each once, parents first; the last one is the target.

    Raises:
        UserError: a store or a file of the configuration is missing.
    """
    planner = _Planner(experiment.words, hash_of_store or store_hash)
    targets = [planner.run(experiment.target, config, variant) for variant, config in experiment.lineage]
    return list({run.id: run for run in _every(targets[-1])}.values())


class _Planner:
    """Plans the configurations of one lineage; a run keeps the label of the first variant that has it."""

    def __init__(self, words: Mapping[str, str], hash_of_store: StoreHash) -> None:
        self.words, self.hash_of_store = words, hash_of_store
        self._planned: dict[tuple[str, ExperimentConfig], StageRun] = {}
        self._by_hash: dict[str, StageRun] = {}

    def run(self, stage: str, config: ExperimentConfig, variant: str) -> StageRun:
        """The run of a stage with its parents' runs."""
        if (stage, config) not in self._planned:
            made = self._make(STAGES[stage], config, variant)
            self._planned[stage, config] = self._by_hash.setdefault(made.hash, made)
        return self._planned[stage, config]

    def _make(self, spec: Stage, config: ExperimentConfig, variant: str) -> StageRun:
        wanted = sorted(spec.parents(config).items())
        parents = {role: self.run(name, parent, variant) for role, (name, parent) in wanted}
        sections, seed = spec.sections(config), config.prior_seed if spec.stand_in else config.seed
        digest = hash_of(
            {
                "stage": spec.name,
                "version": spec.version,
                "sections": sections,
                "files": {key: digest_of(path, key) for key, path in spec.files(config).items()},
                "parents": {role: parent.hash for role, parent in parents.items()},
                "store": self.hash_of_store(store) if (store := spec.store(config)) else "",
                "origin": spec.origin(config),
                "seed": seed,
            }
        )
        fields = {key: value for key, value in self.words.items() if any(_within(key, name) for name in sections)}
        fields = {key: value for one in parents.values() for key, value in one.fields.items()} | fields
        return StageRun(run_id(spec.name, seed, digest), spec, variant, seed, digest, config, parents, fields)


def _within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _every(run: StageRun) -> Iterator[StageRun]:
    for parent in run.parents.values():
        yield from _every(parent)
    yield run
