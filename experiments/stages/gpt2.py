"""The stand-in for GPT-2: a small GPT-2 trained on the lexicon's captions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.schema import ExperimentConfig
from experiments.stage import StageRun
from experiments.stages.base import TrainedStage, single_process

ROOT = Path(__file__).parents[2]


class GPT2(TrainedStage):
    """Trains `GPT2Prior`."""

    name = "gpt2"
    stand_in = True

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers and the trainer."""
        return {"prior.gpt2": config.prior.gpt2, "trainer": single_process(config)}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The architecture and the words."""
        shape = ROOT / "lightning_modules" / "standins" / "priors" / "gpt2.json"
        return {"gpt2.json": shape, "lexicon.yaml": ROOT / "toyworld" / "lexicon.yaml"}

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


STAGE = GPT2()
