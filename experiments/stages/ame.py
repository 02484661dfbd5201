"""AME: the emotion space of text, image and audio."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from experiments.schema import ExperimentConfig
from experiments.stage import Parents, StageRun
from experiments.stages.base import PROMPTS, NetworkStage, clips_of, data_of, data_section, open_store
from lightning_modules.ame.config import STANDIN


class AME(NetworkStage):
    """Trains `AMEModule`."""

    name = "ame"
    undefined = ("*intensity_spearman/*", "*alignment/*", "*gap/*", "*r1*", "*r5/*", "*unseen_accuracy/*")

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        tags = {key: value for key, value in _text_weights(config).items() if not _is_path(value)}
        return {"ame": config.ame, "ame.text": tags, **data_section(data_of(config, "ame")), "trainer": config.trainer}

    def parents(self, config: ExperimentConfig) -> Parents:
        """The stand-ins that its encodings are built on."""
        return {name: (name, config) for name in config.ame.parents()}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The prompts, and weights that the configuration names as files."""
        local = {key: Path(value) for key, value in _text_weights(config).items() if _is_path(value)}
        return {"prompts.yaml": PROMPTS, **local}

    def check(self, config: ExperimentConfig) -> None:
        """Training clips with audio and a label, unless nothing is trained."""
        data = data_of(config, "ame")
        store = open_store(data)
        found = [c for c in clips_of(store, data, "train") if c.has_audio and c.kind == "basic"]
        if config.ame.steps and not found:
            raise UserError(
                f"{data.store}: the split {data.split!r} has no training clip with audio and an emotion label for AME; "
                "ame.steps=0 keeps the initial weights for a store without labels"
            )

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The space on its frozen towers."""
        from lightning_modules.ame.module import AMEModule

        clip, gpt2 = parents.get("clip"), parents.get("gpt2")
        return AMEModule(run.config.ame, clip.parts() if clip else None, gpt2.parts() if gpt2 else None)


def _text_weights(config: ExperimentConfig) -> dict[str, str]:
    """Where the towers' weights come from, by config key: a tag, a file or a folder."""
    text = config.ame.text
    return {"ame.text.clip_weights": text.clip_weights, "ame.text.gpt2_model": text.gpt2_model}


def _is_path(value: str) -> bool:
    """Whether a config value names a file or folder rather than a tag such as `openai`."""
    if value in ("", STANDIN):
        return False
    return Path(value).exists() or "/" in value or Path(value).suffix in (".pt", ".bin", ".safetensors")


STAGE = AME()
