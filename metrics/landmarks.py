"""LMD as a torchmetrics class; its twin lives in `metrics.functional.landmarks`."""

from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from metrics.base import ClipMean
from metrics.functional.landmarks import Region, landmark_distance


class LandmarkDistance(ClipMean):
    """LMD in px of a crop of `size_px`, mean over frames, then over clips; landmarks in [-1, 1]."""

    higher_is_better = False

    def __init__(self, size_px: int, region: Region = "mouth", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size_px = size_px
        self.region: Region = region

    def clip_value(
        self, landmarks: Float[Tensor, "t 68 2"], true_landmarks: Float[Tensor, "t 68 2"], scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """LMD of one clip."""
        return landmark_distance(landmarks[scored], true_landmarks[scored], self.size_px, self.region)
