"""THEval's naturalness as torchmetrics classes; their twins live in `metrics.functional.naturalness`."""

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from metrics.functional import naturalness


class Naturalness(Metric):
    """1 - |method - truth| / |truth| of the means over the clips where both have a value.

    `forward` returns the same of the clip alone.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    sums: Tensor
    num_clips: Tensor
    missing: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("sums", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("num_clips", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("missing", torch.zeros((), dtype=torch.long), dist_reduce_fx="sum")

    @abstractmethod
    def value(
        self, landmarks: Float[Tensor, "t 68 2"], loudness: Float[Tensor, " t"], voice: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """The value of one video."""

    def update(
        self,
        landmarks: Float[Tensor, "t 68 2"],
        true_landmarks: Float[Tensor, "t 68 2"],
        loudness: Float[Tensor, " t"],
        voice: Bool[Tensor, " t"],
    ) -> None:
        """Add one clip: landmarks in one unit on both axes (px)."""
        pair = torch.stack([self.value(points, loudness, voice) for points in (landmarks, true_landmarks)])
        found = pair.isfinite().all()
        self.sums += pair.to(self.sums) if found else 0.0
        self.num_clips += found
        self.missing += ~found

    def compute(self) -> Float[Tensor, ""]:
        """The score; NaN where no clip has a value."""
        means = self.sums / self.num_clips
        return naturalness.closeness(means[0], means[1]).float()


class LipDynamics(Naturalness):
    """How much the lips' shape varies."""

    def value(self, landmarks: Tensor, loudness: Tensor, voice: Tensor) -> Tensor:
        """As `functional.naturalness.lip_dynamics`."""
        return naturalness.lip_dynamics(landmarks)


class EyebrowDynamics(Naturalness):
    """How much the brows move."""

    def value(self, landmarks: Tensor, loudness: Tensor, voice: Tensor) -> Tensor:
        """As `functional.naturalness.eyebrow_dynamics`."""
        return naturalness.eyebrow_dynamics(landmarks)


class SilentLips(Naturalness):
    """How much the lips move without voice."""

    def value(self, landmarks: Tensor, loudness: Tensor, voice: Tensor) -> Tensor:
        """As `functional.naturalness.silent_lips`."""
        return naturalness.silent_lips(landmarks, voice)


class LipSync(Naturalness):
    """How closely lip opening and loudness go together."""

    def value(self, landmarks: Tensor, loudness: Tensor, voice: Tensor) -> Tensor:
        """As `functional.naturalness.lip_sync`."""
        return naturalness.lip_sync(landmarks, loudness, voice)
