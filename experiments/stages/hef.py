"""HEF: a portrait, driving coefficients and an emotion to frames."""

import dataclasses
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


class HEF(TrainedStage):
    """Trains `HEFModule`."""

    name = "hef"
    distributed = True

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        return {"hef": config.hef, **data_section(data_of(config, "hef")), "trainer": config.trainer}

    def parents(self, config: ExperimentConfig) -> Parents:
        """An emotion space of HEF's own encoding, and the critics where a loss needs them.

        So the encoding ablation compares EAC alone (the paper's Fig. 10).
        """
        own, weights = config, config.hef.weights
        if config.ame.text.encoding != config.hef.text_encoding:
            text = dataclasses.replace(config.ame.text, encoding=config.hef.text_encoding)
            own = dataclasses.replace(config, ame=dataclasses.replace(config.ame, text=text))
        needs = max(weights.emotion, weights.identity, weights.perceptual) > 0
        return {"ame": ("ame", own), **({"critics": ("critics", config)} if needs else {})}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The prompts, and face model and VGG weights where they are files."""
        named = {"face_model": config.face_model, "hef.perceptual_path": config.hef.perceptual_path}
        return {"prompts.yaml": PROMPTS, **{key: Path(value) for key, value in named.items() if value}}

    def store(self, config: ExperimentConfig) -> str:
        """Its own store, or the shared one."""
        return data_of(config, "hef").store

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.hef.steps

    def check(self, config: ExperimentConfig) -> None:
        """Training clips with coefficients, pictures large enough, and the face model."""
        data = data_of(config, "hef")
        store = open_store(data)
        require_coefficients(config, store)
        if store.size < config.hef.resolution:
            raise UserError(
                f"hef.resolution: {config.hef.resolution} px is more than the {store.size} px of {store.path}; "
                f"prepare the store with --size {config.hef.resolution}"
            )
        if not [c for c in clips_of(store, data, "train") if c.has_coefficients]:
            raise UserError(f"{data.store}: the split {data.split!r} leaves HEF no training clip with coefficients")

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The networks on their frozen parents."""
        from lightning_modules.hef.module import HEFModule

        config, critics = run.config.hef, parents.get("critics")
        drawn = renderer(run.config, data_of(run.config, "hef"), config.resolution)
        if critics is None:
            return HEFModule(config, parents["ame"].encoder, drawn)
        emotion = critics.photo_emotion if config.weights.emotion > 0 else None
        identity = critics.photo_identity if config.weights.identity > 0 else None
        return HEFModule(config, parents["ame"].encoder, drawn, emotion, identity, critics.perceptual())

    def data(self, run: StageRun) -> Any:
        """Pairs of frames of one actor."""
        from datamodules.mead import MEADDataModule

        hef = run.config.hef
        return MEADDataModule(data_of(run.config, "hef"), "hef", hef.batch_size, run.seed, hef.resolution)


STAGE = HEF()
