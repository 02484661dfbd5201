"""Small networks trained on toy people of their own: the critics inside losses, and the judges behind the metrics.

The judges take the place of published networks; no critic sees a judge's people, nor a judge a critic's.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from conventions.errors import UserError
from datamodules.splits import Split
from experiments.schema import ExperimentConfig
from experiments.stage import StageRun
from experiments.stages.base import (
    TrainedStage,
    clips_of,
    data_of,
    data_section,
    open_store,
    pairs,
    single_process,
    world_section,
)

SHARED = ("temperature", "held_out", "pictures_per_person")
"""Fields of the section `judges` that the critics read as well."""


class Critics(TrainedStage):
    """Trains `CriticsModule`: the networks inside the losses of EAC and HEF."""

    name = "critics"
    version = 2
    stand_in = True
    undefined = ("photo_identity_auc",)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, those shared with the judges, the world, the trainer."""
        shared = {f"judges.{name}": getattr(config.judges, name) for name in SHARED}
        own = {"judges.critics": config.judges.critics, **shared}
        return {**own, **world_section(config), "trainer": single_process(config)}

    def store(self, config: ExperimentConfig) -> str:
        """None: the toy world's images are all."""
        return ""

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.judges.critics.steps

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained networks."""
        from lightning_modules.standins.judges.critics import CriticsModule

        return CriticsModule(run.config.judges)

    def data(self, run: StageRun) -> Any:
        """Images and renders of the people of role `critic`."""
        from lightning_modules.standins.judges.critics import CriticsData

        return CriticsData.load(run.config.judges, pairs(run.config, "critic"), run.seed)


class Judges(TrainedStage):
    """Trains `JudgesModule`: the networks behind the metrics."""

    name = "judges"
    stand_in = True
    undefined = ("identity_auc", "mouth_opening_r", "emotion_accuracy_clips")

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers without those of the critics, who has which role, the world, the trainer."""
        own = {f.name: getattr(config.judges, f.name) for f in dataclasses.fields(config.judges) if f.name != "critics"}
        split = data_section(data_of(config))["split"]
        return {"judges": own, "split": split, **world_section(config), "trainer": single_process(config)}

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.judges.steps

    def check(self, config: ExperimentConfig) -> None:
        """Two judge actors with labelled clips that have audio."""
        data = data_of(config)
        judged = clips_of(open_store(data), data, "judge")
        actors = judged.where(kind=["basic"], has_audio=[True]).values("actor")
        if len(actors) < 2:
            raise UserError(
                f"{data.store}: the judges need labelled clips with audio of at least two judge actors of the split "
                f"{data.split!r}; found {', '.join(actors) or 'none'}"
            )

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained networks."""
        from lightning_modules.standins.judges.module import JudgesModule

        return JudgesModule(run.config.judges)

    def data(self, run: StageRun) -> Any:
        """Images of the people of role `judge`, and the judge actors' clips of the store."""
        from lightning_modules.standins.judges.data import JudgesData

        data = data_of(run.config)
        return JudgesData.load(
            run.config.judges, pairs(run.config, "judge"), open_store(data), Split.load(data.split), run.seed
        )
