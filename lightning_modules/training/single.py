"""The optimiser of the stages that have one: AdamW with a linear warm-up and a cosine decay to zero."""

from typing import Protocol, runtime_checkable

from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn

from lightning_modules.training.optimisers import make_optimizer, make_schedule


@runtime_checkable
class TrainingNumbers(Protocol):
    """The part of a stage's config that its optimiser reads."""

    @property
    def steps(self) -> int:
        """Training batches."""
        ...

    @property
    def learning_rate(self) -> float:
        """Peak rate."""
        ...

    @property
    def warmup(self) -> int:
        """Batches of linear rise."""
        ...

    @property
    def weight_decay(self) -> float:
        """Decay of matrices."""
        ...


def adamw_with_cosine(module: nn.Module, numbers: TrainingNumbers) -> OptimizerLRSchedulerConfig:
    """What `configure_optimizers` returns: AdamW over all that `module` trains, stepped once a batch."""
    optimizer = make_optimizer([module], learning_rate=numbers.learning_rate, weight_decay=numbers.weight_decay)
    schedule = make_schedule(optimizer, kind="cosine", warmup=numbers.warmup, steps=numbers.steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
