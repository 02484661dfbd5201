"""What a stage is: one object that states its version, what it reads of a configuration, its parents and its work."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from experiments.progress import Interruption, Progress
from experiments.rundir import HistoryRow, RunFolder
from experiments.schema import ExperimentConfig

if TYPE_CHECKING:
    from lightning_modules.training.stage import StageModule

Parents = Mapping[str, tuple[str, ExperimentConfig]]
"""Role -> (stage, the configuration as that parent sees it)."""


@dataclass(frozen=True)
class StageRun:
    """One stage to run: its identity, its configuration and the runs of its parents by role."""

    id: str
    spec: "Stage" = field(repr=False)
    variant: str
    """The first variant of the experiment's lineage that has this run; a label, not part of the identity."""
    seed: int
    hash: str
    config: ExperimentConfig = field(compare=False)
    parents: Mapping[str, "StageRun"]
    fields: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Config keys given on the command line that this run or its ancestors read; a label as well."""

    @property
    def stage(self) -> str:
        """The stage's name."""
        return self.spec.name

    @property
    def title(self) -> str:
        """`eac eac_mlp s0 eac.learning_rate=0.001`: what dashboards and tables show."""
        return " ".join([self.stage, self.variant, f"s{self.seed}", *(f"{k}={v}" for k, v in self.fields.items())])

    def folder(self, runs: Path) -> RunFolder:
        """The run's folder below `runs`."""
        return RunFolder(runs / self.id)


@dataclass(frozen=True)
class Measured:
    """Results of a stage: its metrics (NaN where undefined) and further facts for metrics.json."""

    metrics: Mapping[str, float]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """What a stage receives to do its work."""

    run: StageRun
    runs: Path
    folder: RunFolder
    progress: Progress
    interruption: Interruption
    follow: Callable[[HistoryRow], None] | None = None
    """Called with each row of history.jsonl."""


class Stage(ABC):
    """One stage of an experiment. Subclasses import heavy libraries inside their methods, so that planning is light."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised whenever a change of the code changes what the stage produces; part of the identity."""
    stand_in: ClassVar[bool] = False
    """Replaces published weights: trained at `prior_seed`, the same for all seeds of the experiment."""
    distributed: ClassVar[bool] = False
    """Trains on `trainer.devices` x `trainer.num_nodes` processes; all other work has one process."""
    undefined: ClassVar[tuple[str, ...]] = ()
    """Patterns (fnmatch) of metrics that may have no value; any other non-finite metric fails the run."""

    @abstractmethod
    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """What the stage reads, by dotted config key; hashed by content."""

    def parents(self, config: ExperimentConfig) -> Parents:
        """The stages whose results this one builds on, by role."""
        return {}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """Files and folders that decide the result (weights, prompts), by config key; hashed by content."""
        return {}

    def store(self, config: ExperimentConfig) -> str:
        """Folder of the packed store that the stage reads; empty where it reads none."""
        return config.data.store

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches; 0 for a stage that only measures."""
        return 0

    def origin(self, config: ExperimentConfig) -> str:
        """What training starts from, for the identity: a hash or a run id; empty for the initial weights."""
        return ""

    def check(self, config: ExperimentConfig) -> None:
        """UserError where the configuration and its data cannot give a result; cheap, before anything is trained."""
        return None

    @abstractmethod
    def work(self, work: Work) -> Measured:
        """Do the work from wherever the run folder stands, and measure the result."""


class ModuleStage(Stage):
    """A stage whose result is the weights of a module."""

    @abstractmethod
    def build(self, run: StageRun, parents: Mapping[str, "StageModule"]) -> "StageModule":
        """The module on its loaded parents; random numbers are seeded by the caller."""
