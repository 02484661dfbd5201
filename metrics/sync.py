"""Sync confidence, distance and offset as torchmetrics classes; their twin lives in `metrics.functional.sync`."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from metrics.base import ClipMean
from metrics.functional.sync import MAX_SHIFT, SyncScores, sync_scores


class SyncMean(ClipMean):
    """Mean over clips of one of SyncNet's scores; clips too short for the shifts are counted in `missing`."""

    field: str

    def __init__(self, max_shift: int = MAX_SHIFT, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_shift = max_shift

    def clip_value(self, sync_audio: Float[Tensor, "n d"], sync_video: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
        """The score of one clip."""
        scores: SyncScores = sync_scores(sync_audio, sync_video, self.max_shift)
        return getattr(scores, self.field)


class SyncConfidence(SyncMean):
    """Median minus minimum over shifts of the distance of audio and video."""

    higher_is_better = True
    field = "confidence"


class SyncDistance(SyncMean):
    """Minimum over shifts of the distance of audio and video."""

    higher_is_better = False
    field = "distance"


class SyncOffset(SyncMean):
    """Shift in frames at which audio and video agree best; 0 is right, neither side is better."""

    higher_is_better = None
    field = "offset"
