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
from experiments.stages.loss_networks import check_loss_networks, load_losses, loss_files, loss_names, needs_critics


class EAC(TrainedStage):
    """Trains `EACModule`."""

    name = "eac"
    distributed = True
    undefined = ("*mouth_correlation", "*slider/*")

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        losses = {"losses.networks": loss_names(config, _losses(config))}
        return {"eac": config.eac, **losses, **data_section(data_of(config, "eac")), "trainer": config.trainer}

    def parents(self, config: ExperimentConfig) -> Parents:
        """The emotion space, and the critics where L_emo has a weight and no published network."""
        critics = {"critics": ("critics", config)} if needs_critics(config, _losses(config)) else {}
        return {"ame": ("ame", config), **critics}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The prompts, the face model where it is a file, and the published network of L_emo."""
        face = {"face_model": Path(config.face_model)} if config.face_model else {}
        return {"prompts.yaml": PROMPTS, **face, **loss_files(config, _losses(config))}

    def store(self, config: ExperimentConfig) -> str:
        """Its own store, or the shared one."""
        return data_of(config, "eac").store

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.eac.steps

    def check(self, config: ExperimentConfig) -> None:
        """Training clips with audio and coefficients, and the face model where a loss draws or measures it."""
        check_loss_networks(config, _losses(config))
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
        emotion = critics.render_emotion if critics else load_losses(config, _losses(config)).get("emotion")
        return EACModule(config.eac, parents["ame"].encoder, drawn, emotion)

    def data(self, run: StageRun) -> Any:
        """Clips with audio and coefficients."""
        from datamodules.mead import MEADDataModule

        config = run.config
        return MEADDataModule(data_of(config, "eac"), "eac", config.eac.batch_size, run.seed, config.data.image_size)


def _losses(config: ExperimentConfig) -> tuple[str, ...]:
    return ("emotion",) if config.eac.weights.emotion > 0 else ()


def _needs_face(config: ExperimentConfig) -> bool:
    return config.eac.weights.mouth > 0 or config.eac.weights.emotion > 0


STAGE = EAC()
