"""The stand-in for CLIP: a small CLIP trained on the toy world's captioned pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.schema import ExperimentConfig
from experiments.stage import StageRun
from experiments.stages.base import TrainedStage, pairs, single_process, world_section

SHAPE = Path(__file__).parents[2] / "lightning_modules" / "standins" / "priors" / "clip.json"


class Clip(TrainedStage):
    """Trains `ClipPrior`."""

    name = "clip"
    stand_in = True

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the world, the trainer."""
        return {"prior.clip": config.prior.clip, **world_section(config), "trainer": single_process(config)}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The architecture."""
        return {"clip.json": SHAPE}

    def store(self, config: ExperimentConfig) -> str:
        """None: the toy world's pictures are all."""
        return ""

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.prior.clip.steps

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained stand-in."""
        from lightning_modules.standins.priors.clip import ClipPrior

        return ClipPrior(run.config.prior.clip)

    def data(self, run: StageRun) -> Any:
        """Captioned pictures of the people of role `prior`."""
        from lightning_modules.standins.priors.data import PictureData

        return PictureData.load(run.config.prior.clip, pairs(run.config, "prior"), run.seed)


STAGE = Clip()
