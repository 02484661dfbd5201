"""FID, FVD and E-FID as torchmetrics classes: torchmetrics' Fréchet distance over features that a network gave."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

ENOUGH_FRAMES = 2048
"""Below this many frames the covariance of Inception's 2048 features is singular and FID is badly biased."""


class _Features(nn.Module):
    """Passes features through: torchmetrics asks a network for them."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The features themselves."""
        return features


class FrechetDistance(FrechetInceptionDistance):
    """Fréchet distance of the features of all generated and all true frames; keeps sums, not features.

    Two processes add their sums, so that the result is that of one process which saw every frame. `forward` adds a
    clip and returns NaN: a single clip has no value.
    """

    higher_is_better = False
    full_state_update = False
    real_features_num_samples: Tensor
    fake_features_num_samples: Tensor
    real_features_sum: Tensor
    fake_features_sum: Tensor

    def __init__(self, num_features: int = 2048, **kwargs: Any) -> None:
        super().__init__(feature=_Features(num_features), **kwargs)
        self.orig_dtype = torch.float64

    def add(self, generated: Float[Tensor, "n d"], true: Float[Tensor, "m d"]) -> None:
        """Add the features of some frames of each side."""
        super().update(generated.detach().to(self.real_features_sum.device), real=False)
        super().update(true.detach().to(self.real_features_sum.device), real=True)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Add one clip; NaN."""
        self.update(*args, **kwargs)
        return torch.tensor(torch.nan)

    def compute(self) -> Float[Tensor, ""]:
        """The distance; NaN under two frames on a side, and where a network gave values that are not finite."""
        enough = min(int(self.real_features_num_samples), int(self.fake_features_num_samples)) >= 2
        if not enough or not bool((self.real_features_sum + self.fake_features_sum).isfinite().all()):
            return torch.tensor(torch.nan)
        return super().compute().clamp(min=0).float()


class InceptionDistance(FrechetDistance):
    """FID over frames."""

    def update(self, fid: Float[Tensor, "t d"], true_fid: Float[Tensor, "t d"], scored: Bool[Tensor, " t"]) -> None:  # type: ignore[override]
        """Add one clip; `scored` marks the frames that count."""
        self.add(fid[scored], true_fid[scored])


class VideoDistance(FrechetDistance):
    """FVD over pieces of 16 frames."""

    def update(self, fvd: Float[Tensor, "n d"], true_fvd: Float[Tensor, "m d"]) -> None:  # type: ignore[override]
        """Add the pieces of one clip."""
        self.add(fvd, true_fvd)


class ExpressionDistance(FrechetDistance):
    """E-FID over frames: the Fréchet distance of 3DMM expression coefficients (Tian et al. 2024, EMO)."""

    def update(  # type: ignore[override]
        self, expression: Float[Tensor, "t d"], true_expression: Float[Tensor, "t d"], scored: Bool[Tensor, " t"]
    ) -> None:
        """Add one clip; frames in which either side has no face are left out."""
        found = scored & (expression + true_expression).isfinite().all(dim=1)
        self.add(expression[found], true_expression[found])
