"""AME: the emotion space of text, image and audio."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from conventions.weights import find_folder
from datamodules.config import HUGGING_FACE, canonical
from datamodules.manifest import store_hash
from experiments.schema import ExperimentConfig
from experiments.stage import Parents, StageRun
from experiments.stages.base import (
    PROMPTS,
    NetworkStage,
    any_coefficients,
    clips_of,
    data_of,
    data_section,
    feature_section,
    mixture_of,
    open_store,
    trained_on,
)
from lightning_modules.ame.config import STANDIN


class AME(NetworkStage):
    """Trains `AMEModule`."""

    name = "ame"
    version = 2
    undefined = ("*intensity_spearman/*", "*alignment/*", "*gap/*", "*r1*", "*r5/*", "*unseen_accuracy/*")

    def store(self, config: ExperimentConfig) -> str:
        """Its own store, or the shared one; none where it has a mixture, which `sections` names."""
        return "" if config.ame.data.mix else super().store(config)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        tags = {key: value for key, value in _text_weights(config).items() if not _is_path(value)}
        text = dataclasses.replace(config.ame.text, encoding=canonical(config.ame.text.encoding))
        own = {"ame": dataclasses.replace(config.ame, text=text), "ame.text": tags, "trainer": config.trainer}
        mixture = [
            {
                "weight": weight,
                "store": store_hash(data.store),
                **data_section(any_coefficients(data)),
                **feature_section(data, "voice"),
            }
            for data, weight in mixture_of(config)
        ]
        if mixture:
            return {**own, "mix": mixture}
        data = data_of(config, "ame")
        return {**own, **data_section(any_coefficients(data)), **feature_section(data, "voice")}

    def parents(self, config: ExperimentConfig) -> Parents:
        """The stand-ins that its encodings are built on."""
        return {name: (name, config) for name in config.ame.parents()}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The prompts, and weights that the configuration names as files."""
        local = {key: Path(value) for key, value in _text_weights(config).items() if _is_path(value)}
        return {"prompts.yaml": PROMPTS, **local}

    def check(self, config: ExperimentConfig) -> None:
        """Training clips with a label in every store, unless nothing is trained; all with the voice feature."""
        for data in trained_on(config, self.name):
            store = open_store(data)
            store.speech_form(data.voice)
            found = clips_of(store, data, "train").where(kind=["basic"])
            if config.ame.steps and not found:
                raise UserError(
                    f"{data.store}: the split {data.split!r} has no training clip with an emotion label for AME; "
                    "ame.steps=0 keeps the initial weights for a store without labels"
                )

    def data(self, run: StageRun) -> Any:
        """The clips of its store, or of its mixture of stores."""
        if not (mixture := mixture_of(run.config)):
            return super().data(run)
        from datamodules.mead import MEADDataModule
        from datamodules.mixture import MixedData

        size, seed = self.size(run.config), run.seed
        sources = [MEADDataModule(data, "ame", run.config.ame.batch_size, seed, size) for data, _ in mixture]
        return MixedData(sources, [weight for _, weight in mixture], run.config.ame.batch_size)

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The space on its frozen towers."""
        from lightning_modules.ame.module import AMEModule

        clip, gpt2, data = parents.get("clip"), parents.get("gpt2"), trained_on(run.config, self.name)[0]
        audio = dataclasses.replace(run.config.ame.audio, speech=open_store(data).speech_form(data.voice))
        numbers = dataclasses.replace(run.config.ame, audio=audio)
        return AMEModule(numbers, clip.parts() if clip else None, gpt2.parts() if gpt2 else None)


def _text_weights(config: ExperimentConfig) -> dict[str, str]:
    """Where the towers' weights come from, by config key: a tag, a file or a folder."""
    text = config.ame.text
    found = {"ame.text.clip_weights": text.clip_weights, "ame.text.gpt2_model": text.gpt2_model}
    if text.encoding.startswith(HUGGING_FACE):
        place = text.encoding.removeprefix(HUGGING_FACE)
        with contextlib.suppress(UserError):  # an encoder that is not there is reported when it is loaded
            found["ame.text.encoding"] = str(find_folder(place) or place)
    return found


def _is_path(value: str) -> bool:
    """Whether a config value names a file or folder rather than a tag such as `openai`."""
    if value in ("", STANDIN):
        return False
    return Path(value).exists() or "/" in value or Path(value).suffix in (".pt", ".bin", ".safetensors")
