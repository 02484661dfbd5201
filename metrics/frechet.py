"""FID as a torchmetrics class; its twin lives in `metrics.functional.frechet`."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from metrics.functional.frechet import frechet_distance

ENOUGH_FRAMES = 2048
"""Below this many frames the covariance of Inception's 2048 features is singular and FID is badly biased."""


class FrechetDistance(Metric):
    """Fréchet distance of the features of all generated and all true frames; keeps sums, not features.

    Two processes add their sums, so that the result is that of one process which saw every frame.
    """

    higher_is_better = False
    full_state_update = False
    is_differentiable = False
    sums: Tensor
    products: Tensor
    counts: Tensor

    def __init__(self, num_features: int = 2048, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        shape = (2, num_features)
        self.add_state("sums", torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("products", torch.zeros((*shape, num_features), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, generated: Float[Tensor, "n d"], true: Float[Tensor, "m d"]) -> None:
        """Add the features of some frames of each side."""
        for side, features in enumerate((generated, true)):
            values = features.detach().to(self.sums)
            self.sums[side] += values.sum(dim=0)
            self.products[side] += values.T @ values
            self.counts[side] += len(values)

    def compute(self) -> Float[Tensor, ""]:
        """The distance; NaN before each side has seen two frames."""
        if int(self.counts.min()) < 2:
            return torch.tensor(float("nan"))
        means = self.sums / self.counts[:, None]
        outer = means[:, :, None] * means[:, None, :] * self.counts[:, None, None]
        covariances = (self.products - outer) / (self.counts - 1)[:, None, None]
        return frechet_distance(means[0], covariances[0], means[1], covariances[1]).float()
