"""HEF: a portrait, driving coefficients and an emotion to frames."""

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


class HEF(LossStage):
    """Trains `HEFModule`."""

    name = "hef"
    version = 2
    roles = ("emotion", "identity", "perceptual", SYNC)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        data = data_of(config, "hef")
        voice = feature_section(data, "voice") if config.hef.voice_codes > 0 else {}
        own = {"hef": config.hef, **self.loss_names(config), "trainer": config.trainer}
        return {**own, **data_section(data), **voice}

    def parents(self, config: ExperimentConfig) -> Parents:
        """An emotion space of HEF's own encoding, and the networks of losses that have no published network.

        So the encoding ablation compares EAC alone (the paper's Fig. 10).
        """
        own = config
        if config.ame.text.encoding != config.hef.text_encoding:
            text = dataclasses.replace(config.ame.text, encoding=config.hef.text_encoding)
            own = dataclasses.replace(config, ame=dataclasses.replace(config.ame, text=text))
        return {"ame": ("ame", own), **super().parents(config)}

    def size(self, config: ExperimentConfig) -> int:
        """HEF's resolution."""
        return config.hef.resolution

    def data(self, run: StageRun) -> "pl.LightningDataModule":
        """The clips, with HEF's share of unlabelled ones, successive targets and audio where a loss needs them."""
        from datamodules.mead import MEADDataModule

        config, hef = data_of(run.config, "hef"), run.config.hef
        drawn = {"successive": hef.successive, "parts": hef.micro_batches, "sound": hef.needs_sound}
        size = hef.resolution
        return MEADDataModule(config, "hef", hef.batch_size, run.seed, size, unlabelled=hef.unlabelled, **drawn)

    def check(self, config: ExperimentConfig) -> None:
        """Training clips with coefficients, images large enough, and the face model."""
        super().check(config)
        data = data_of(config, "hef")
        store = open_store(data)
        require_coefficients(config, store)
        store.coefficients_of(data.coefficients)
        if config.hef.voice_codes > 0:
            store.speech_form(data.voice)
        if store.size < config.hef.resolution:
            raise UserError(
                f"hef.resolution: {config.hef.resolution} px exceeds the {store.size} px of {store.path}; "
                f"prepare the store with --size {config.hef.resolution}"
            )
        if not clips_of(store, data, "train").where(has_coefficients=[True]):
            raise UserError(f"{data.store}: the split {data.split!r} has no training clip with coefficients for HEF")

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The networks on their frozen parents."""
        from lightning_modules.hef.module import HEFModule

        config, critics, wanted = run.config.hef, parents.get("critics"), self.wanted(run.config)
        drawn = renderer(run.config, data_of(run.config, "hef"), config.resolution)
        networks = self.published(run.config)
        if critics is not None:
            own = {"emotion": critics.photo_emotion, "identity": critics.photo_identity}
            own["perceptual"] = critics.perceptual()
            networks = {role: network for role, network in own.items() if role in wanted} | networks
        return HEFModule(
            config,
            parents["ame"].encoder,
            drawn,
            emotion_critic=networks.get("emotion"),
            identity_critic=networks.get("identity"),
            perceptual=networks.get("perceptual"),
            sync_expert=sync_expert(parents, networks),
        )
