"""The base of every trained stage: frozen parents, random numbers by (seed, batch), and one form of evaluation."""

import functools
import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from conventions.errors import UserError
from datamodules.endless import batches_trained
from lightning_modules.training.checkpoints import read_checkpoint
from lightning_modules.training.configs import as_plain
from lightning_modules.training.optimisers import check_partition
from lightning_modules.training.parents import FrozenParts, Recipe, describe, rebuild


def batch_entropy(seed: int, batch: int, rank: int = 0) -> list[int]:
    """Four 32-bit words that are a pure function of (seed, batch, rank)."""
    return [int(word) for word in np.random.SeedSequence((seed, batch, rank)).generate_state(4)]


def seed_batch(seed: int, batch: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch (all devices) for batch number `batch` of a run; ranks draw differently."""
    words = batch_entropy(seed, batch, rank)
    random.seed(words[0])
    np.random.seed(words[1])
    torch.manual_seed(words[2] << 31 | words[3] >> 1)


Phase = Literal["val", "test"]
Rows = Mapping[int, list[Any]]
"""Number of a loader -> what `evaluate_batch` returned for each of its batches."""

S = TypeVar("S", bound="StageModule")
F = TypeVar("F", bound=Callable[..., Any])


def without_gradients(method: F) -> F:
    """Run a method without gradients, but outside of inference mode, in which `trainer.validate` and `test` run.

    What a network keeps from its first call (text embeddings, a face model on the device) is used in training later,
    and autograd refuses tensors that were made in inference mode.
    """

    @functools.wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            return method(*args, **kwargs)

    return call  # pyright: ignore[reportReturnType]


class StageModule(FrozenParts, pl.LightningModule):
    """Base of AME, EAC and HEF: a LightningModule whose state is what it trains, without frozen networks that it uses.

    `seed` may be set before `fit`; batch k draws its random numbers from (seed, k, rank), whether or not the run was
    interrupted. A checkpoint carries the config and, while `embed_parents` is true, the recipes of the frozen parents,
    so that `load_from_checkpoint` needs nothing else.

    A subclass implements `training_step`, `configure_optimizers`, `evaluate_batch` and `summary`. Other methods that it
    overrides must call those of this class.

    Args:
        config: dataclass with the settings of the stage.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.seed = 0
        self.embed_parents = True
        self.config = config
        self.save_hyperparameters({"config": as_plain(config)})
        self._rows: dict[int, list[Any]] = defaultdict(list)

    @property
    def batch_number(self) -> int:
        """Number of the training batch at work, from 0; a resumed run counts on."""
        return batches_trained(self.trainer)

    @property
    def data(self) -> Any:
        """The DataModule of the trainer; None where loaders were handed over alone."""
        return getattr(self.trainer, "datamodule", None)

    def on_fit_start(self) -> None:
        """Every trainable parameter is in exactly one optimiser."""
        check_partition(self, self.trainer.optimizers)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed everything for this batch."""
        seed_batch(self.seed, self.batch_number, self.global_rank)

    def log_scalars(self, scalars: Mapping[str, Tensor], prefix: str = "train") -> None:
        """Log detached scalars as `prefix/name`, without waiting for the device."""
        self.log_dict({f"{prefix}/{name}": value.detach() for name, value in scalars.items()})

    def evaluate_batch(self, batch: Any, loader: int, phase: Phase) -> Any:
        """What `summary` needs of one batch of loader number `loader`."""
        raise NotImplementedError

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Metrics over all batches by name; with `loss` in validation, for stages that have one."""
        raise NotImplementedError

    def samples(self, batch: Any) -> dict[str, Tensor] | None:
        """Images [t, 3, h, w] in [-1, 1] of a validation batch to show during training; None where there are none."""
        return None

    @without_gradients
    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch of the validation actors, with the same random numbers every time."""
        seed_batch(self.seed, batch_idx)
        self._rows[dataloader_idx].append(self.evaluate_batch(batch, dataloader_idx, "val"))

    @without_gradients
    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Evaluate a batch of the test actors."""
        seed_batch(self.seed, batch_idx)
        self._rows[dataloader_idx].append(self.evaluate_batch(batch, dataloader_idx, "test"))

    def on_validation_epoch_start(self) -> None:
        """Forget earlier batches."""
        self._rows.clear()

    def on_test_epoch_start(self) -> None:
        """Forget earlier batches."""
        self._rows.clear()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics as `val/name`."""
        self._log_summary("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics as `test/name`."""
        self._log_summary("test")

    @without_gradients
    def _log_summary(self, phase: Phase) -> None:
        metrics = self.summary(self._rows, phase) if self._rows else {}
        self._rows.clear()
        several = self.trainer.world_size > 1  # each rank evaluates everything: the mean of equal values
        self.log_dict({f"{phase}/{name}": value for name, value in metrics.items()}, batch_size=1, sync_dist=several)

    def parents(self) -> dict[str, Recipe]:
        """Recipes of what the module is built on, by argument of its constructor."""
        parts = {name: getattr(self, name) for name in self.frozen}
        return {name: describe(part) for name, part in parts.items() if part is not None}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipes of the frozen parents while `embed_parents` is true."""
        if self.embed_parents:
            checkpoint["parents"] = self.parents()

    @classmethod
    def load_from_checkpoint(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls: type[S], checkpoint_path: Path | str, map_location: torch.device | str | None = None, **given: Any
    ) -> S:
        """Load the module of a Lightning checkpoint.

        Args:
            checkpoint_path: file that a training wrote.
            map_location: device of the module; None: the CPU.
            given: constructor arguments that replace those of the checkpoint, such as `encoder`.

        Returns:
            The module with the weights of the checkpoint.

        Raises:
            UserError: the file cannot be read, does not fit, or lacks a constructor argument.
        """
        checkpoint = read_checkpoint(Path(checkpoint_path))
        config = given.pop("config", None) or checkpoint.get("hyper_parameters", {}).get("config")
        if config is None:
            raise UserError(f"{checkpoint_path}: has no hyper-parameters of {cls.__name__}; give config=")
        recipes = checkpoint.get("parents", {})
        parents = {name: rebuild(name, recipe) for name, recipe in recipes.items() if name not in given}
        arguments = {"config": config, **parents, **given}
        needed = [name for name, p in signature(cls).parameters.items() if p.default is p.empty]
        if missing := [f"{name}=" for name in needed if name not in arguments]:
            raise UserError(f"{checkpoint_path}: lacks what {cls.__name__} needs: give {', '.join(missing)}")
        module = cls(**arguments)
        module.load_state_dict(checkpoint["state_dict"])
        return module if map_location is None else module.to(map_location)

    def upgrade_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """A state dict of an earlier format in today's; of today's format, as it is."""
        return dict(state)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the stage's own weights, also of an earlier format; a key that does not fit is one UserError line."""
        return super().load_state_dict(self.upgrade_state(state_dict), strict=strict, assign=assign)
