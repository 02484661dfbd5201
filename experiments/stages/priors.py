"""The stand-ins for CLIP and GPT-2: small networks trained on the toy world's captioned images and captions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.schema import ExperimentConfig
from experiments.stage import StageRun
from experiments.stages.base import TrainedStage, pairs, single_process, world_section

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "lightning_modules" / "standins" / "priors"


class Clip(TrainedStage):
    """Trains `ClipPrior`."""

    name = "clip"
    stand_in = True

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the world, the trainer."""
        return {"prior.clip": config.prior.clip, **world_section(config), "trainer": single_process(config)}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The architecture."""
        return {"clip.json": SHAPES / "clip.json"}

    def store(self, config: ExperimentConfig) -> str:
        """None: the toy world's images are all."""
        return ""

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.prior.clip.steps

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained stand-in."""
        from lightning_modules.standins.priors.clip import ClipPrior

        return ClipPrior(run.config.prior.clip)

    def data(self, run: StageRun) -> Any:
        """Captioned images of the people of role `prior`."""
        from lightning_modules.standins.priors.data import PictureData

        return PictureData.load(run.config.prior.clip, pairs(run.config, "prior"), run.seed)


class GPT2(TrainedStage):
    """Trains `GPT2Prior`."""

    name = "gpt2"
    stand_in = True

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers and the trainer."""
        return {"prior.gpt2": config.prior.gpt2, "trainer": single_process(config)}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The architecture and the words."""
        return {"gpt2.json": SHAPES / "gpt2.json", "lexicon.yaml": ROOT / "toyworld" / "lexicon.yaml"}

    def store(self, config: ExperimentConfig) -> str:
        """None: the lexicon is all."""
        return ""

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.prior.gpt2.steps

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained stand-in."""
        from lightning_modules.standins.priors.gpt2 import GPT2Prior

        return GPT2Prior(run.config.prior.gpt2)

    def data(self, run: StageRun) -> Any:
        """Captions of the lexicon's grammar."""
        from lightning_modules.standins.priors.data import CaptionData

        return CaptionData(run.config.prior.gpt2, run.seed)
