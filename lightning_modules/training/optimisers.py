"""Optimisers and learning rates by a few numbers, and what Lightning lacks for two networks against each other.

Lightning counts every step of every optimiser in `global_step`; with two of them, `max_steps=8` would train four
batches. With the step hooks of the discriminator silenced `global_step` counts batches.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from conventions.errors import UserError


@runtime_checkable
class TrainingNumbers(Protocol):
    """What `adamw_with_cosine` reads of a config of a stage."""

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


class Schedule(NamedTuple):
    """The same for a stage whose config lacks some of them."""

    steps: int
    """Training batches."""
    learning_rate: float
    """Peak rate."""
    warmup: int
    """Batches of linear rise."""
    weight_decay: float
    """Decay of matrices."""


def make_optimizer(
    modules: Iterable[nn.Module],
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam over the trainable parameters of `modules`; AdamW when `weight_decay` > 0, decaying only matrices."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    if weight_decay == 0:
        return Adam(parameters, lr=learning_rate, betas=betas)
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=betas)


def warmup_and_cosine(optimizer: Optimizer, *, warmup: int, steps: int) -> LRScheduler:
    """Linear rise over `warmup` batches, to the full rate in the last of them, then a cosine to 0 at batch `steps`."""
    cosine = CosineAnnealingLR(optimizer, max(1, steps - warmup))
    if warmup == 0:
        return cosine
    rise = LinearLR(optimizer, start_factor=1 / warmup, total_iters=max(1, warmup - 1))
    return SequentialLR(optimizer, [rise, cosine], milestones=[warmup])


def adamw_with_cosine(module: nn.Module, numbers: TrainingNumbers) -> OptimizerLRSchedulerConfig:
    """What `configure_optimizers` returns: AdamW over all that `module` trains, stepped once a batch."""
    optimizer = make_optimizer([module], learning_rate=numbers.learning_rate, weight_decay=numbers.weight_decay)
    schedule = warmup_and_cosine(optimizer, warmup=numbers.warmup, steps=numbers.steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def check_partition(module: nn.Module, optimizers: Sequence[Optimizer]) -> None:
    """Assert that every trainable parameter of `module` is in exactly one optimiser, and nothing else is in any."""
    held = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len(set(held)), "a parameter is in two optimisers"
    for name, parameter in module.named_parameters():
        in_one = id(parameter) in held
        assert in_one == parameter.requires_grad, (
            f"{name} is {'frozen but' if in_one else 'trainable but not'} in an optimiser"
        )


def silence_step_hooks(optimizer: LightningOptimizer) -> None:
    """Keep this optimiser's steps out of Lightning's `global_step`; call it in every training step.

    `_on_before_step` and `_on_after_step` are private fields of pytorch-lightning (read in 2.6.6), which its manual
    optimisation loop sets before each batch: they start and end the profiler's range and count the step.
    """
    assert hasattr(optimizer, "_on_before_step"), "this version of Lightning counts optimiser steps otherwise"
    assert hasattr(optimizer, "_on_after_step"), "this version of Lightning counts optimiser steps otherwise"
    optimizer._on_before_step = _nothing
    optimizer._on_after_step = _nothing


def _nothing() -> None:
    return None


def refuse_half_precision(precision: str) -> None:
    """UserError for precisions that scale losses: clipping by hand would clip scaled gradients."""
    if precision.startswith("16"):
        raise UserError(f"trainer.precision: {precision!r} cannot train an adversarial stage; use 'bf16-mixed' or '32'")


class ExponentialAverage(nn.Module):
    """A frozen copy of a network that follows it: average <- d * average + (1 - d) * weights, once a batch.

    The decay rises as (1 + batch) / (10 + batch) up to `decay`, so that the first averages forget the
    initialisation. Buffers are copied, not averaged.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "ExponentialAverage":
        """The average is never in training mode."""
        return super().train(False)

    @torch.no_grad()
    def update(self, network: nn.Module, batch: int) -> None:
        """Move towards `network` after batch number `batch`."""
        decay = min(self.decay, (1 + batch) / (10 + batch))
        for average, weight in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)
        for average, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(buffer)
