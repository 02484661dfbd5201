"""The critics: small networks inside the losses of EAC and HEF, trained on toy people of their own."""

from collections.abc import Mapping
from typing import Any

from experiments.schema import ExperimentConfig
from experiments.stage import StageRun
from experiments.stages.base import TrainedStage, pairs, single_process, world_section

SHARED = ("temperature", "held_out", "pictures_per_person")
"""Fields of the section `judges` that the critics read as well."""


class Critics(TrainedStage):
    """Trains `CriticsModule`."""

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
        """None: the toy world's pictures are all."""
        return ""

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.judges.critics.steps

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained networks."""
        from lightning_modules.standins.judges.critics import CriticsModule

        return CriticsModule(run.config.judges)

    def data(self, run: StageRun) -> Any:
        """Pictures and renders of the people of role `critic`."""
        from lightning_modules.standins.judges.critic_data import CriticsData

        return CriticsData.load(run.config.judges, pairs(run.config, "critic"), run.seed)


STAGE = Critics()
