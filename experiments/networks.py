"""Modules of stage runs: built untrained, or loaded with their final weights, each once."""

import random
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng

from conventions.errors import UserError
from experiments.stage import ModuleStage, StageRun
from experiments.training import load_final
from lightning_modules.ame.module import AMEModule
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.module import HEFModule
from lightning_modules.pipeline import Pipeline
from lightning_modules.training.stage import StageModule

M = TypeVar("M", bound=StageModule)


class Networks:
    """The modules of the runs below one folder."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._loaded: dict[str, StageModule] = {}

    def build(self, run: StageRun) -> StageModule:
        """The run's module on its loaded parents, initialised from (stage, seed) alone."""
        assert isinstance(run.spec, ModuleStage)
        parents = {role: self.load(parent) for role, parent in run.parents.items()}
        with isolate_rng():
            _seed(run)
            module = run.spec.build(run, parents)
        module.seed, module.embed_parents = run.seed, False
        return module

    def load(self, run: StageRun) -> StageModule:
        """The run's module with its final weights, frozen; UserError when the run is not finished."""
        if run.id not in self._loaded:
            path = run.folder(self.runs).checkpoints / "final.pt"
            if not path.exists():
                raise UserError(f"run {run.id}: has no final weights ({path}); `emospace run` trains it")
            module = self.build(run)
            load_final(module, path)
            self._loaded[run.id] = module.eval().requires_grad_(False)
        return self._loaded[run.id]

    def typed(self, run: StageRun, kind: type[M]) -> M:
        """`load`, as the module's own type."""
        module = self.load(run)
        assert isinstance(module, kind)
        return module


def load_pipeline(run: StageRun, networks: Networks, device: torch.device) -> Pipeline:
    """The pipeline of the parents `eac` and `hef` of a run of stage `evaluate`."""
    eac_run, hef_run = run.parents["eac"], run.parents["hef"]
    eac, hef = networks.typed(eac_run, EACModule).to(device), networks.typed(hef_run, HEFModule).to(device)
    encoders = [networks.typed(one.parents["ame"], AMEModule).encoder.to(device) for one in (eac_run, hef_run)]
    return Pipeline(encoders[0], eac, hef, encoders[1])


def device_of(run: StageRun) -> torch.device:
    """Where the run's tests and evaluation happen."""
    gpu = run.config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if gpu else "cpu")


def _seed(run: StageRun) -> None:
    words = np.frombuffer(sha256(f"{run.stage} {run.seed}".encode()).digest(), np.uint32)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.manual_seed(int(words[2]))
