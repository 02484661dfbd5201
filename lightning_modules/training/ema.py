"""Exponential moving average of one network's weights (Karras et al. 2017): what a GAN's generator is used with."""

import copy

import torch
from torch import nn


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
