"""Small networks that stand in for what a machine may lack.

`Clip` and `GPT2` are trained on the toy world's captioned images and captions; the critics inside losses and the judges
behind the metrics on toy people of their own: no critic sees a judge's people, nor a judge a critic's. The lip-sync
expert of the losses of EAC and HEF is trained on the clips that these train on.
"""

import dataclasses
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

from conventions.errors import UserError
from datamodules.splits import Split
from experiments.schema import ExperimentConfig
from experiments.stage import StageRun
from experiments.stages.base import (
    TrainedStage,
    clips_of,
    data_of,
    data_section,
    open_store,
    pairs,
    renderer,
    require_coefficients,
    single_process,
    world_section,
)

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "lightning_modules" / "standins" / "priors"


class StandIn(TrainedStage):
    """A small network that one process trains; its numbers are one section of the configuration."""

    stand_in = True
    section: ClassVar[str]
    reads_store: ClassVar[bool] = False

    def numbers(self, config: ExperimentConfig) -> Any:
        """The section."""
        return attrgetter(self.section)(config)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers and the trainer."""
        return {self.section: self.numbers(config), "trainer": single_process(config)}

    def store(self, config: ExperimentConfig) -> str:
        """Empty where images and texts of the toy world are all that it reads."""
        return config.data.store if self.reads_store else ""

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return self.numbers(config).steps


class Clip(StandIn):
    """Trains `ClipPrior`."""

    name = "clip"
    section = "prior.clip"

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the world, the trainer."""
        return {**super().sections(config), **world_section(config)}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The architecture."""
        return {"clip.json": SHAPES / "clip.json"}

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained stand-in."""
        from lightning_modules.standins.priors.clip import ClipPrior

        return ClipPrior(run.config.prior.clip)

    def data(self, run: StageRun) -> Any:
        """Captioned images of the people of role `prior`."""
        from lightning_modules.standins.priors.data import PictureData

        return PictureData.load(run.config.prior.clip, pairs(run.config, "prior"), run.seed)


class GPT2(StandIn):
    """Trains `GPT2Prior`."""

    name = "gpt2"
    section = "prior.gpt2"

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The architecture and the words."""
        return {"gpt2.json": SHAPES / "gpt2.json", "lexicon.yaml": ROOT / "toyworld" / "lexicon.yaml"}

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained stand-in."""
        from lightning_modules.standins.priors.gpt2 import GPT2Prior

        return GPT2Prior(run.config.prior.gpt2)

    def data(self, run: StageRun) -> Any:
        """Captions of the lexicon's grammar."""
        from lightning_modules.standins.priors.data import CaptionData

        return CaptionData(run.config.prior.gpt2, run.seed)


SHARED = ("temperature", "held_out", "pictures_per_person")
"""Fields of the section `judges` that the critics read as well."""


class Critics(StandIn):
    """Trains `CriticsModule`: the networks inside the losses of EAC and HEF."""

    name = "critics"
    section = "judges.critics"
    version = 2
    undefined = ("photo_identity_auc",)

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, those shared with the judges, the world, the trainer."""
        shared = {f"judges.{name}": getattr(config.judges, name) for name in SHARED}
        return {**super().sections(config), **shared, **world_section(config)}

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained networks."""
        from lightning_modules.standins.judges.critics import CriticsModule

        return CriticsModule(run.config.judges)

    def data(self, run: StageRun) -> Any:
        """Images and renders of the people of role `critic`."""
        from lightning_modules.standins.judges.critics import CriticsData

        return CriticsData.load(run.config.judges, pairs(run.config, "critic"), run.seed)


class Judges(StandIn):
    """Trains `JudgesModule`: the networks behind the metrics."""

    name = "judges"
    section = "judges"
    reads_store = True
    undefined = ("identity_auc", "mouth_opening_r", "emotion_accuracy_clips")

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers without those of the critics, who has which role, the world, the trainer."""
        own = {f.name: getattr(config.judges, f.name) for f in dataclasses.fields(config.judges) if f.name != "critics"}
        split = data_section(data_of(config))["split"]
        return {**super().sections(config), "judges": own, "split": split, **world_section(config)}

    def check(self, config: ExperimentConfig) -> None:
        """Two judge actors with labelled clips that have audio."""
        data = data_of(config)
        judged = clips_of(open_store(data), data, "judge")
        actors = judged.where(kind=["basic"], has_audio=[True]).values("actor")
        if len(actors) < 2:
            raise UserError(
                f"{data.store}: the judges need labelled clips with audio of at least two judge actors of the split "
                f"{data.split!r}; found {', '.join(actors) or 'none'}"
            )

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained networks."""
        from lightning_modules.standins.judges.module import JudgesModule

        return JudgesModule(run.config.judges)

    def data(self, run: StageRun) -> Any:
        """Images of the people of role `judge`, and the judge actors' clips of the store."""
        from lightning_modules.standins.judges.data import JudgesData

        data = data_of(run.config)
        return JudgesData.load(
            run.config.judges, pairs(run.config, "judge"), open_store(data), Split.load(data.split), run.seed
        )


class LipSync(StandIn):
    """Trains `LipSyncModule`; `data` is that of the stage whose loss it serves."""

    name = "lip_sync"
    section = "losses.lip_sync"
    reads_store = True

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        return {**super().sections(config), **data_section(config.data)}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The face model where it is a file."""
        return {"face_model": Path(config.face_model)} if config.face_model and _draws(config) else {}

    def check(self, config: ExperimentConfig) -> None:
        """Training clips with audio, images that are large enough, and coefficients."""
        from metrics.backbones.judges import SIZE

        store = open_store(config.data)
        if _draws(config):
            require_coefficients(config, store)
        if store.size < SIZE:
            raise UserError(f"{store.path}: the lip-sync expert needs images of {SIZE} px; they have {store.size} px")
        heard = clips_of(store, config.data, "train").where(has_audio=[True], has_pictures=[True])
        if not heard.where(has_coefficients=[True]):
            raise UserError(
                f"{config.data.store}: the split {config.data.split!r} has no training clip with audio, images and "
                "coefficients for the lip-sync loss"
            )

    def build(self, run: StageRun, parents: Mapping[str, Any]) -> Any:
        """The untrained network."""
        from lightning_modules.standins.lip_sync.module import LipSyncModule
        from metrics.backbones.judges import SIZE

        config = run.config
        drawn = renderer(config, config.data, SIZE) if _draws(config) else None
        return LipSyncModule(config.losses.lip_sync, drawn)

    def data(self, run: StageRun) -> Any:
        """Windows of the training clips."""
        from lightning_modules.standins.lip_sync.module import LipSyncData

        return LipSyncData(run.config.losses.lip_sync, run.config.data, run.seed)


def _draws(config: ExperimentConfig) -> bool:
    return config.losses.lip_sync.renders > 0
