"""EAC: speech and an emotion to expression coefficients."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from conventions.errors import UserError
from experiments.schema import ExperimentConfig
from experiments.stage import Parents, StageRun
from experiments.stages.base import (
    SYNC,
    LossStage,
    clips_of,
    data_of,
    data_section,
    feature_section,
    open_store,
    renderer,
    require_coefficients,
    sync_expert,
)

if TYPE_CHECKING:
    import pytorch_lightning as pl


class EAC(LossStage):
    """Trains `EACModule`."""

    name = "eac"
    version = 3
    undefined = ("*_correlation", "*slider/*")
    roles = ("emotion", SYNC)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        data = data_of(config, "eac")
        features = {**feature_section(data, "speech"), **feature_section(data, "voice")}
        own = {"eac": config.eac, **self.loss_names(config), "trainer": config.trainer}
        return {**own, **data_section(data), **features}

    def parents(self, config: ExperimentConfig) -> Parents:
        """The emotion space, and the networks of losses that have a weight and no published network."""
        return {"ame": ("ame", config), **super().parents(config)}

    def data(self, run: StageRun) -> "pl.LightningDataModule":
        """The clips, with their audio where a loss needs it."""
        from datamodules.mead import MEADDataModule

        config, eac = run.config, run.config.eac
        size, sound = self.size(config), eac.weights.sync > 0
        return MEADDataModule(data_of(config, "eac"), "eac", eac.batch_size, run.seed, size, sound=sound)

    def check(self, config: ExperimentConfig) -> None:
        """Training clips with audio and coefficients, and the face model where a loss draws or measures it."""
        super().check(config)
        data = data_of(config, "eac")
        store = open_store(data)
        store.speech_form(data.speech)
        store.coefficients_of(data.coefficients)
        store.speech_form(data.voice)
        if _needs_face(config):
            require_coefficients(config, store)
        if not clips_of(store, data, "train").where(has_audio=[True], has_coefficients=[True]):
            raise UserError(
                f"{data.store}: the split {data.split!r} has no training clip with audio and coefficients for EAC"
            )

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The network on its frozen parents."""
        from lightning_modules.eac.module import EACModule

        config, critics, data = run.config, parents.get("critics"), data_of(run.config, "eac")
        drawn = renderer(config, data, config.data.image_size) if _needs_face(config) else None
        published = self.published(config)
        emotion = critics.face_emotion if critics else published.get("emotion")
        numbers = dataclasses.replace(config.eac, speech=open_store(data).speech_form(data.speech))
        return EACModule(numbers, parents["ame"].encoder, drawn, emotion, sync_expert(parents, published))


def _needs_face(config: ExperimentConfig) -> bool:
    weights = config.eac.weights
    return max(weights.mouth, weights.opening, weights.emotion, weights.sync) > 0
