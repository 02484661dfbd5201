"""The base of every trained stage: frozen parents stay out of its weights, random numbers follow (seed, batch)."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from torch import Tensor, nn

from lightning_modules.training.checkpoints import check_state
from lightning_modules.training.optimisers import check_partition
from lightning_modules.training.seeding import seed_batch


class StageModule(pl.LightningModule):
    """A LightningModule whose state is what it trains, and nothing of the frozen networks that it leans on.

    `seed` is set by whoever runs it, before `fit`; batch number `global_step` then draws its random numbers from
    (seed, batch, rank) whether or not the run was interrupted. A subclass that overrides `on_train_batch_start`,
    `on_fit_start`, `train`, `state_dict` or `load_state_dict` calls its parent's.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self._frozen: list[str] = []

    def add_frozen(self, name: str, module: nn.Module | None) -> None:
        """Hold a parent network as attribute `name`: on this module's device, in eval mode, untrained, not saved."""
        if module is not None:
            module.requires_grad_(False).eval()
        self.add_module(name, module)
        self._frozen.append(name)

    def train(self, mode: bool = True) -> "StageModule":
        """As nn.Module.train, except that frozen parents stay in eval mode."""
        super().train(mode)
        for name in self._frozen:
            if (module := getattr(self, name)) is not None:
                module.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The stage's own weights: frozen parents are left out."""
        state = super().state_dict(*args, **kwargs)
        prefix = kwargs.get("prefix", "")
        frozen = tuple(f"{prefix}{name}." for name in self._frozen)
        for key in [key for key in state if key.startswith(frozen)]:
            del state[key]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the stage's own weights; a missing, surplus or misshapen key is one UserError line."""
        check_state(self.state_dict(), state_dict, f"checkpoint of {type(self).__name__}")
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def on_fit_start(self) -> None:
        """Every trainable parameter is in exactly one optimiser."""
        check_partition(self, self.trainer.optimizers)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed everything for this batch."""
        seed_batch(self.seed, self.global_step, self.global_rank)

    def log_scalars(self, scalars: Mapping[str, Tensor], prefix: str = "train") -> None:
        """Log detached scalars as `prefix/name`, without waiting for the device."""
        self.log_dict({f"{prefix}/{name}": value.detach() for name, value in scalars.items()})

    def evaluate(self, data: Any) -> dict[str, float]:
        """This stage's own test metrics on the test clips of a `datamodules.mead.MEADDataModule`."""
        raise NotImplementedError
