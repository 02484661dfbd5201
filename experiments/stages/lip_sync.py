"""The lip-sync expert: the network of the lip-sync losses of EAC and HEF, trained on the clips that these train on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from conventions.errors import UserError
from experiments.schema import ExperimentConfig
from experiments.stage import StageRun
from experiments.stages.base import (
    TrainedStage,
    clips_of,
    data_section,
    open_store,
    renderer,
    require_coefficients,
    single_process,
)


class LipSync(TrainedStage):
    """Trains `LipSyncModule`; `data` is that of the stage whose loss it serves."""

    name = "lip_sync"
    stand_in = True

    def sections(self, config: ExperimentConfig) -> Mapping[str, Any]:
        """Its own numbers, the data, the trainer."""
        own = {"losses.lip_sync": config.losses.lip_sync}
        return {**own, **data_section(config.data), "trainer": single_process(config)}

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The face model where it is a file."""
        return {"face_model": Path(config.face_model)} if config.face_model and _draws(config) else {}

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return config.losses.lip_sync.steps

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
