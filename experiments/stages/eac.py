"""EAC: speech and an emotion to expression coefficients."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from experiments.schema import ExperimentConfig
from experiments.stage import Parents, StageRun
from experiments.stages.base import (
    PROMPTS,
    TrainedStage,
    clips_of,
    data_of,
    data_section,
    open_store,
    renderer,
    require_coefficients,
)


class EAC(TrainedStage):
    """Trains `EACModule`."""

    name = "eac"
    distributed = True
    undefined = ("*mouth_correlation", "*slider/*")

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        return {"eac": config.eac, **data_section(data_of(config, "eac")), "trainer": config.trainer}

    def parents(self, config: ExperimentConfig) -> Parents:
        """The emotion space, and the critics where L_emo has a weight."""
        critics = {"critics": ("critics", config)} if config.eac.weights.emotion > 0 else {}
        return {"ame": ("ame", config), **critics}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The prompts, and the face model where it is a file."""
        return {"prompts.yaml": PROMPTS, **({"face_model": Path(config.face_model)} if config.face_model else {})}

    def store(self, config: ExperimentConfig) -> str:
        """Its own store, or the shared one."""
        return data_of(config, "eac").store

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.eac.steps

    def check(self, config: ExperimentConfig) -> None:
        """Training clips with audio and coefficients, and the face model where a loss draws or measures it."""
        data = data_of(config, "eac")
        store = open_store(data)
        if _needs_face(config):
            require_coefficients(config, store)
        if not [c for c in clips_of(store, data, "train") if c.has_audio and c.has_coefficients]:
            raise UserError(
                f"{data.store}: the split {data.split!r} leaves EAC no training clip with audio and coefficients"
            )

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The network on its frozen parents."""
        from lightning_modules.eac.module import EACModule

        config, critics = run.config, parents.get("critics")
        drawn = renderer(config, data_of(config, "eac"), config.data.image_size) if _needs_face(config) else None
        return EACModule(config.eac, parents["ame"].encoder, drawn, critics.render_emotion if critics else None)

    def data(self, run: StageRun) -> Any:
        """Clips with audio and coefficients."""
        from datamodules.mead import MEADDataModule

        config = run.config
        return MEADDataModule(data_of(config, "eac"), "eac", config.eac.batch_size, run.seed, config.data.image_size)


def _needs_face(config: ExperimentConfig) -> bool:
    return config.eac.weights.mouth > 0 or config.eac.weights.emotion > 0


STAGE = EAC()
