"""What Lightning lacks for two networks against each other, and the average of one of them.

Lightning counts every optimiser's step in `global_step`; with two optimisers, `max_steps=8` would train four batches.
With the discriminator's step hooks silenced `global_step` counts batches.
"""

import copy

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import nn

from conventions.errors import UserError


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
