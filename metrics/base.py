"""What the class twins share: a mean over clips that counts the clips without a value."""

import inspect
from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric


class ClipMean(Metric):
    """Mean over clips of one value for each clip; `update` takes one clip, every clip weighs the same.

    `forward` returns the clip's own value. A NaN value (no face found, clip too short) enters `missing` and not the
    mean, which is NaN when nothing is left.
    """

    full_state_update = False
    is_differentiable = False
    total: Tensor
    num_clips: Tensor
    missing: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num_clips", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("missing", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    @abstractmethod
    def clip_value(self, *args: Any, **kwargs: Any) -> Float[Tensor, ""]:
        """The metric of one clip: a call of its functional twin."""

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add one clip; the arguments are those of `clip_value`, other named ones are left to other metrics."""
        wanted = inspect.signature(self.clip_value).parameters
        named = {name: value for name, value in kwargs.items() if name in wanted}
        value = self.clip_value(*args, **named).detach().to(self.total)
        found = value.isfinite()
        self.total += value if found else 0.0
        self.num_clips += found
        self.missing += ~found

    def compute(self) -> Float[Tensor, ""]:
        """Mean over the clips that have a value."""
        return (self.total / self.num_clips).float()
