"""What trained stages share: training from wherever the run stands, then the module's own test."""

import dataclasses
import functools
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from conventions.errors import UserError
from datamodules.config import OWN_SPEECH, DataConfig, canonical
from datamodules.manifest import speech_hash, store_hash
from datamodules.splits import Split
from experiments.identity import digest_of
from experiments.schema import ExperimentConfig, TrainerConfig
from experiments.stage import Measured, ModuleStage, Parents, StageRun, Work
from metrics.published import LOSS_ROLES, STAND_IN, Entry, check_networks, entries, load_loss_networks

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from datamodules.clips import Clips
    from datamodules.mead import View
    from datamodules.store import Store
    from face3d.renderer import Renderer
    from toyworld.pairs import PairSet
    from toyworld.pairs import Role as PairRole

PROMPTS = Path(__file__).parents[2] / "lightning_modules" / "ame" / "prompts.yaml"
"""Part of the identity of every stage that reads emotions from text."""

SYNC = "sync"
"""The role of the lip-sync expert: the one that the critics do not take."""


class TrainedStage(ModuleStage):
    """A stage that trains a `StageModule` on a `LightningDataModule`. Stages of 0 steps keep the initial weights."""

    @abstractmethod
    def data(self, run: StageRun) -> "pl.LightningDataModule":
        """The batches to train, validate and test on."""

    def trainer(self, config: ExperimentConfig) -> TrainerConfig:
        """How the stage is trained: on one process, unless it is `distributed`."""
        if self.distributed:
            return config.trainer
        return single_process(config)

    def start(self, config: ExperimentConfig) -> str:
        """Where training starts from other weights: a run or a checkpoint; empty for the initial weights."""
        return getattr(config.init_from, self.name, "")

    def origin(self, config: ExperimentConfig) -> str:
        """The content of the file to start from, or the id of the run, which is a content hash itself."""
        path = Path(start) if (start := self.start(config)) else None
        if path is None:
            return ""
        path = path / "checkpoints" / "final.pt" if path.is_dir() else path
        return digest_of(path, f"init_from.{self.name}") if path.is_file() else start

    def work(self, work: Work) -> Measured:
        """Train to the last step from wherever the run stands, then test."""
        from experiments.networks import Networks
        from experiments.training import load_final, measure, save_weights, train

        run, final = work.run, work.folder.checkpoints / "final.pt"
        work.progress.total = self.num_steps(run.config)
        module, trainer = Networks(work.runs).build(run), self.trainer(run.config)
        if work.progress.total == 0:
            save_weights(module, final)
            return Measured({})
        data = self.data(run)
        if final.exists():
            load_final(module, final)
        else:
            train(module, data, work, trainer, self.start(run.config))
        work.interruption.check()
        return Measured(measure(module, data, trainer))


class NetworkStage(TrainedStage):
    """One of the paper's three networks: it trains on clips of a store, over as many processes as are asked for.

    Its section of the configuration has its name, with `steps`, `batch_size` and a store of its own (`data`).
    """

    distributed = True

    def store(self, config: ExperimentConfig) -> str:
        """Its own store, or the shared one."""
        return data_of(config, self.name).store

    def num_steps(self, config: ExperimentConfig) -> int:
        """Training batches."""
        return getattr(config, self.name).steps

    def size(self, config: ExperimentConfig) -> int:
        """Side of its images, in pixels."""
        return config.data.image_size

    def data(self, run: StageRun) -> "pl.LightningDataModule":
        """The clips, as its network sees them."""
        from datamodules.mead import MEADDataModule

        config, view = run.config, cast("View", self.name)
        batch_size = getattr(config, self.name).batch_size
        return MEADDataModule(data_of(config, self.name), view, batch_size, run.seed, self.size(config))


class LossStage(NetworkStage):
    """EAC or HEF: the networks inside its losses are the run's own critics, or published ones, a role at a time."""

    roles: ClassVar[tuple[str, ...]]
    """Losses with a network, by the names of their weights."""

    def wanted(self, config: ExperimentConfig) -> tuple[str, ...]:
        """The roles whose loss has a weight."""
        weights = getattr(config, self.name).weights
        return tuple(role for role in self.roles if getattr(weights, role) > 0)

    def choice(self, config: ExperimentConfig) -> dict[str, str]:
        """The configured network of each of these roles, by name."""
        choice = config.losses.networks.choice()
        return {role: choice[role] for role in self.wanted(config)}

    def chosen(self, config: ExperimentConfig) -> Mapping[str, Entry]:
        """The network of each of these roles."""
        roles = self.wanted(config)
        return entries(self.choice(config), roles) if roles else {}

    def loss_names(self, config: ExperimentConfig) -> dict[str, Any]:
        """What identity needs of the choice: the class of each role; files count by content (`files`)."""
        found = self.chosen(config).items()
        names = {role: STAND_IN if entry.stand_in else entry.import_path for role, entry in found}
        return {"losses.networks": names}

    def parents(self, config: ExperimentConfig) -> Parents:
        """The critics, where a role is theirs, and the lip-sync expert of the stage's data, where its loss needs it."""
        own = {role for role, entry in self.chosen(config).items() if entry.stand_in}
        found = {"critics": ("critics", config)} if own - {SYNC} else {}
        if SYNC in own:
            found["lip_sync"] = "lip_sync", dataclasses.replace(config, data=data_of(config, self.name))
        return found

    def files(self, config: ExperimentConfig) -> Mapping[str, Path]:
        """The prompts, the face model where it is a file, and the published networks of losses."""
        face = {"face_model": Path(config.face_model)} if config.face_model else {}
        networks = network_files("losses.networks", self.chosen(config).values())
        return {"prompts.yaml": PROMPTS, **face, **networks}

    def check(self, config: ExperimentConfig) -> None:
        """UserError that names the first absent file of a published network."""
        if roles := self.wanted(config):
            check_networks(self.choice(config), roles=roles)

    def published(self, config: ExperimentConfig) -> dict[str, Any]:
        """The published networks by role; a role of stand-ins is left out."""
        return load_loss_networks(dict.fromkeys(LOSS_ROLES, STAND_IN) | self.choice(config))


def sync_expert(parents: Mapping[str, Any], published: Mapping[str, Any]) -> Any:
    """The network of the lip-sync loss; None where it has no weight."""
    own = parents.get("lip_sync")
    return published.get(SYNC) if own is None else own.expert


def single_process(config: ExperimentConfig) -> TrainerConfig:
    """The trainer section as stages of one process read it, whatever the number of processes of the others."""
    return dataclasses.replace(config.trainer, devices=1, num_nodes=1, strategy="auto")


def data_of(config: ExperimentConfig, stage: str = "") -> DataConfig:
    """The data section as a stage sees it: `<stage>.data` may have a store, a split and coefficients of its own."""
    own = getattr(getattr(config, stage, None), "data", None)
    names = ("store", "split", "coefficients")
    return dataclasses.replace(config.data, **{name: given for name in names if (given := getattr(own, name, ""))})


def mixture_of(config: ExperimentConfig) -> list[tuple[DataConfig, float]]:
    """The stores of which AME's batches are mixed, with their weights; [] where it has one store."""
    return [
        (dataclasses.replace(config.data, store=pool.store, split=pool.split), pool.weight)
        for pool in config.ame.data.mix
    ]


def trained_on(config: ExperimentConfig, stage: str) -> list[DataConfig]:
    """Every data section whose training clips a stage sees."""
    mixed = [data for data, _ in mixture_of(config)] if stage == "ame" else []
    return mixed or [data_of(config, stage)]


def data_section(data: DataConfig) -> dict[str, Any]:
    """What identity needs of a data section: its numbers, and who has which role; no path and no name."""
    split = Split.load(data.split)
    return {"data": data, "split": {"actors": split.actors, "rest": split.rest}}


def any_coefficients(data: DataConfig) -> DataConfig:
    """The data section of a stage whose result does not depend on `data.coefficients`."""
    return dataclasses.replace(data, coefficients="measured")


def feature_section(data: DataConfig, field: Literal["speech", "voice"]) -> dict[str, Any]:
    """What identity needs of a speech feature: nothing of the default, of an added one its content too."""
    name = canonical(getattr(data, field))
    if name == getattr(DataConfig, field):
        return {}
    return {field: {"name": name, "hash": "" if name in OWN_SPEECH else speech_hash(data.store, name)}}


def open_store(data: DataConfig) -> "Store":
    """The store of a data section; UserError where it is not set or not there."""
    if not data.store:
        raise UserError("data.store: is not set; give the folder that `emospace prepare` wrote")
    return _opened(data.store, store_hash(data.store))


@functools.lru_cache(maxsize=4)
def _opened(path: str, content: str) -> "Store":
    """The store of this content: every stage checks and reads it, and opening a large one takes seconds."""
    from datamodules.store import Store

    return Store(path)


def require_coefficients(config: ExperimentConfig, store: "Store") -> str:
    """Name of the store's face model; UserError without coefficients, or where the model's file is absent."""
    from face3d.morphable import PROCEDURAL

    name = store.coefficient_model
    if name is None:
        raise UserError(f"{store.path}: contains no coefficients; prepare it with --coefficients mat or landmarks")
    if name != PROCEDURAL and not Path(config.face_model or "-").exists():
        raise UserError(
            f"face_model: {config.face_model!r} is not a file; {store.path} needs the file of the face model {name!r}"
        )
    return name


def clips_of(store: "Store", data: DataConfig, role: str) -> "Clips":
    """Clips of the chosen cameras whose actor has the role."""
    split = Split.load(data.split)
    return store.clips.where(view=data.views, actor=lambda name: split.role(name) == role)


def same_style(clip: "StoredClip", clips: "Sequence[StoredClip]") -> "list[StoredClip]":
    """The other clips of a test clip's style, which may give the image of its emotion.

    UserError where there is none: the clip's own frames would give the answer away.
    """
    alike = [c for c in clips if (c.emotion, c.level) == (clip.emotion, clip.level) and c.id != clip.id]
    if not alike:
        raise UserError(
            f"evaluate.modality=image: no test clip other than {clip.id} shows {clip.emotion} at level {clip.level}; "
            "use a split with more test actors"
        )
    return alike


def renderer(config: ExperimentConfig, data: DataConfig, size: int) -> "Renderer":
    """The renderer of the store's coefficients."""
    from face3d.morphable import load_model
    from face3d.renderer import Renderer

    name = require_coefficients(config, open_store(data))
    return Renderer(load_model(name, config.face_model or None), size)


def network_files(section: str, found: Iterable[Entry]) -> dict[str, Path]:
    """Files of published networks by config key; absent ones are left to `check_networks`."""
    paths = {f"{section}.{entry.role}": entry.path(None) for entry in found if not entry.stand_in}
    return {key: path for key, path in paths.items() if path is not None}


def world_section(config: ExperimentConfig) -> dict[str, Any]:
    """What identity needs of the toy world."""
    from toyworld.plan import VERSION

    return {"world": config.world, "world_version": VERSION}


def pairs(config: ExperimentConfig, role: "PairRole") -> "PairSet":
    """The toy world's captioned images of a role."""
    from toyworld.pairs import PairSet

    return PairSet(Path(config.world.root), role)
