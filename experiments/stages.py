"""What each stage trains and on what: modules built on their finished parents, endless batches, own tests."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng

from conventions.errors import UserError
from datamodules.mead import MEADDataModule
from datamodules.splits import Split
from datamodules.store import Store
from experiments.graph import StageRun
from experiments.training import Job
from face3d.morphable import load_model
from face3d.renderer import Renderer
from lightning_modules.ame.emotion import EmotionEncoder
from lightning_modules.ame.module import AMEModule
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.module import HEFModule
from lightning_modules.standins.judges.critic_data import CriticsData
from lightning_modules.standins.judges.critics import CriticsModule
from lightning_modules.standins.judges.data import JudgesData
from lightning_modules.standins.judges.module import JudgesModule
from lightning_modules.standins.priors.clip import ClipPrior
from lightning_modules.standins.priors.data import caption_batches, picture_batches, split_people
from lightning_modules.standins.priors.gpt2 import GPT2Prior
from lightning_modules.training.checkpoints import load_state, read_checkpoint
from lightning_modules.training.stage import StageModule
from toyworld.pairs import PairSet

M = TypeVar("M", bound=StageModule)


class Networks:
    """Modules of stage runs: built untrained for training, or loaded with their final weights, each once."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._loaded: dict[str, StageModule] = {}

    def build(self, run: StageRun) -> StageModule:
        """The run's module on its loaded parents, initialised from (stage, seed) alone."""
        parents = {role: self.load(parent) for role, parent in run.parents.items()}
        with isolate_rng():
            _seed(run)
            module = _BUILDERS[run.stage](run, parents)
        module.seed = run.seed
        return module

    def load(self, run: StageRun) -> StageModule:
        """The run's module with its final weights, frozen; UserError when the run is not finished."""
        if run.id not in self._loaded:
            path = run.folder(self.runs).checkpoints / "final.pt"
            if not path.exists():
                raise UserError(f"run {run.id}: holds no final weights ({path}); `emospace run` trains it")
            module = self.build(run)
            load_state(module, read_checkpoint(path)["state_dict"], str(path))
            self._loaded[run.id] = module.eval().requires_grad_(False)
        return self._loaded[run.id]

    def typed(self, run: StageRun, kind: type[M]) -> M:
        """`load`, as the module's own type."""
        module = self.load(run)
        assert isinstance(module, kind)
        return module


def job(run: StageRun, networks: Networks) -> Job:
    """Everything that training the run needs."""
    module = networks.build(run)
    return _MATERIAL[run.stage](run, module)


def num_steps(run: StageRun) -> int:
    """Batches that the run trains; 0 for a stage that only measures."""
    config = run.config
    sections = {"clip": config.prior.clip, "gpt2": config.prior.gpt2, "critics": config.judges.critics}
    section = sections.get(run.stage) or getattr(config, run.stage, None)
    return getattr(section, "steps", 0)


def device_of(run: StageRun) -> torch.device:
    """Where the run's tests and evaluation happen."""
    gpu = run.config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def renderer(run: StageRun, size: int) -> Renderer:
    """The renderer of the store's coefficients."""
    name = Store(run.config.data.store).coefficient_model
    if name is None:
        raise UserError(
            f"{run.config.data.store}: holds no coefficients; prepare it with --coefficients mat or landmarks"
        )
    return Renderer(load_model(name, _face_model(run)), size)


def encoder_of(ame: StageModule) -> EmotionEncoder:
    """The emotion encoder of a loaded AME."""
    assert isinstance(ame, AMEModule)
    return ame.encoder


def _seed(run: StageRun) -> None:
    words = np.frombuffer(sha256(f"{run.stage} {run.seed}".encode()).digest(), np.uint32)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]))


Parents = dict[str, StageModule]


def _build_ame(run: StageRun, parents: Parents) -> AMEModule:
    clip, gpt2 = parents.get("clip"), parents.get("gpt2")
    return AMEModule(
        run.config.ame,
        clip.parts() if isinstance(clip, ClipPrior) else None,
        gpt2.parts() if isinstance(gpt2, GPT2Prior) else None,
    )


def _build_eac(run: StageRun, parents: Parents) -> EACModule:
    config, critics = run.config.eac, parents.get("critics")
    needs_face = config.weights.mouth > 0 or config.weights.emotion > 0
    drawn = renderer(run, run.config.data.image_size) if needs_face else None
    emotion = critics.render_emotion if isinstance(critics, CriticsModule) else None
    return EACModule(config, encoder_of(parents["ame"]), drawn, emotion)


def _build_hef(run: StageRun, parents: Parents) -> HEFModule:
    config, critics = run.config.hef, parents.get("critics")
    drawn, encoder = renderer(run, config.resolution), encoder_of(parents["ame"])
    if not isinstance(critics, CriticsModule):
        return HEFModule(config, encoder, drawn)
    emotion = critics.photo_emotion if config.weights.emotion > 0 else None
    identity = critics.photo_identity if config.weights.identity > 0 else None
    return HEFModule(config, encoder, drawn, emotion, identity, critics.perceptual())


_BUILDERS: dict[str, Callable[[StageRun, Parents], StageModule]] = {
    "clip": lambda run, parents: ClipPrior(run.config.prior.clip),
    "gpt2": lambda run, parents: GPT2Prior(run.config.prior.gpt2),
    "critics": lambda run, parents: CriticsModule(run.config.judges),
    "judges": lambda run, parents: JudgesModule(run.config.judges),
    "ame": _build_ame,
    "eac": _build_eac,
    "hef": _build_hef,
}


@dataclass
class _From:
    """An iterable that asks for an iterator of batches when it is iterated."""

    batches: Callable[[], Iterable[Any]]

    def __iter__(self) -> Any:
        return iter(self.batches())


def _face_model(run: StageRun) -> str | None:
    return run.config.face_model or None


def _pairs(run: StageRun, role: Any) -> PairSet:
    return PairSet(Path(run.config.world.root), role)


def _clip_job(run: StageRun, module: StageModule) -> Job:
    assert isinstance(module, ClipPrior)
    train, held_out = split_people(_pairs(run, "prior"))
    config = run.config.prior.clip
    endless = picture_batches(train, module.tokenizer, batch_size=config.batch_size, seed=run.seed)
    return Job(module, lambda start: _started(endless, start), config.steps, lambda: module.evaluate(held_out))


def _gpt2_job(run: StageRun, module: StageModule) -> Job:
    assert isinstance(module, GPT2Prior)
    config = run.config.prior.gpt2
    endless = caption_batches(module.tokenizer, batch_size=config.batch_size, seed=run.seed)
    return Job(module, lambda start: _started(endless, start), config.steps, module.evaluate)


def _started(data: Any, start: int) -> Any:
    data.start_step = start
    return data


def _critics_job(run: StageRun, module: StageModule) -> Job:
    data = CriticsData.load(run.config.judges, _pairs(run, "critic"), run.seed)
    steps = run.config.judges.critics.steps
    return Job(module, lambda start: _From(lambda: data.batches(start)), steps, lambda: module.evaluate(data))


def _judges_job(run: StageRun, module: StageModule) -> Job:
    config, data_config = run.config.judges, run.config.data
    split, store = Split.load(data_config.split), Store(data_config.store)
    data = JudgesData.load(config, _pairs(run, "judge"), store, split, run.seed)
    return Job(module, lambda start: _From(lambda: data.batches(start)), config.steps, lambda: module.evaluate(data))


def _mead_job(run: StageRun, module: StageModule) -> Job:
    section: Any = getattr(run.config, run.stage)
    view: Any = run.stage
    resolution = getattr(section, "resolution", run.config.data.image_size)
    data = MEADDataModule(run.config.data, view, section.batch_size, run.seed, resolution)
    return Job(
        module, lambda start: _started(data, start).train_dataloader(), section.steps, lambda: module.evaluate(data)
    )


_MATERIAL: dict[str, Callable[[StageRun, Any], Job]] = {
    "clip": _clip_job,
    "gpt2": _gpt2_job,
    "critics": _critics_job,
    "judges": _judges_job,
    "ame": _mead_job,
    "eac": _mead_job,
    "hef": _mead_job,
}
