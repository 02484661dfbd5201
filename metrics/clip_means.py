"""The metrics of one clip as torchmetrics classes: means over clips; their twins are in `metrics.functional`."""

import inspect
from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric

from metrics.functional import features
from metrics.functional.image import mean_of_frames
from metrics.functional.landmarks import (
    Region,
    closeness,
    eyebrow_dynamics,
    landmark_distance,
    lip_dynamics,
    lip_sync,
    silent_lips,
)
from metrics.functional.sync import MAX_SHIFT, SyncScores, sync_scores


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


class FramePSNR(ClipMean):
    """PSNR in dB, mean over frames, then over clips."""

    higher_is_better = True

    def clip_value(self, psnr: Float[Tensor, " t"], scored: Bool[Tensor, " t"]) -> Float[Tensor, ""]:
        """PSNR of one clip from that of its frames (`frame_psnr`); `scored` marks the frames that count."""
        return mean_of_frames(psnr, scored)


class FrameSSIM(ClipMean):
    """SSIM, mean over frames, then over clips."""

    higher_is_better = True

    def clip_value(self, ssim: Float[Tensor, " t"], scored: Bool[Tensor, " t"]) -> Float[Tensor, ""]:
        """SSIM of one clip from that of its frames (`frame_ssim`)."""
        return mean_of_frames(ssim, scored)


class FrameLPIPS(ClipMean):
    """LPIPS, mean over frames, then over clips."""

    higher_is_better = False

    def clip_value(self, lpips: Float[Tensor, " t"], scored: Bool[Tensor, " t"]) -> Float[Tensor, ""]:
        """LPIPS of one clip from that of its frames (the network in the role `lpips`)."""
        return mean_of_frames(lpips, scored)


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


class EmotionFeatureDistance(ClipMean):
    """EFD: cosine distance of emotion features, mean over frames, then over clips."""

    higher_is_better = False

    def clip_value(
        self, emotion: Float[Tensor, "t d"], true_emotion: Float[Tensor, "t d"], scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """EFD of one clip."""
        return features.emotion_feature_distance(emotion[scored], true_emotion[scored])


class IdentitySimilarity(ClipMean):
    """CSIM: cosine of identity embeddings against the true frames."""

    higher_is_better = True

    def clip_value(
        self, identity: Float[Tensor, "t d"], true_identity: Float[Tensor, "t d"], scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """CSIM of one clip."""
        return features.cosine_similarity_of_identity(identity[scored], true_identity[scored])


class SourceSimilarity(ClipMean):
    """CSIM_source: cosine of identity embeddings against the source portrait."""

    higher_is_better = True

    def clip_value(
        self, identity: Float[Tensor, "t d"], source_identity: Float[Tensor, "1 d"], scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """CSIM_source of one clip."""
        return features.cosine_similarity_of_identity(identity[scored], source_identity)


class EmotionAccuracy(ClipMean):
    """Share of clips that the classifier takes for the wanted emotion."""

    higher_is_better = True

    def clip_value(
        self, probabilities: Float[Tensor, "t classes"], wanted: int | None, scored: Bool[Tensor, " t"]
    ) -> Float[Tensor, ""]:
        """1 when the mean of one clip's frame probabilities peaks at `wanted`, otherwise 0; NaN without a label."""
        mean = probabilities[scored].nanmean(dim=0, keepdim=True)
        if wanted is None or not bool(mean.isfinite().all()):
            return mean.new_tensor(float("nan"))
        return features.emotion_accuracy(mean, mean.new_tensor([wanted]).long())


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
        return closeness(means[0], means[1]).float()


class LipDynamics(Naturalness):
    """How much the lips' shape varies."""

    def value(self, landmarks: Tensor, loudness: Tensor, voice: Tensor) -> Tensor:
        """As `functional.landmarks.lip_dynamics`."""
        return lip_dynamics(landmarks)


class EyebrowDynamics(Naturalness):
    """How much the brows move."""

    def value(self, landmarks: Tensor, loudness: Tensor, voice: Tensor) -> Tensor:
        """As `functional.landmarks.eyebrow_dynamics`."""
        return eyebrow_dynamics(landmarks)


class SilentLips(Naturalness):
    """How much the lips move without voice."""

    def value(self, landmarks: Tensor, loudness: Tensor, voice: Tensor) -> Tensor:
        """As `functional.landmarks.silent_lips`."""
        return silent_lips(landmarks, voice)


class LipSync(Naturalness):
    """How closely lip opening and loudness go together."""

    def value(self, landmarks: Tensor, loudness: Tensor, voice: Tensor) -> Tensor:
        """As `functional.landmarks.lip_sync`."""
        return lip_sync(landmarks, loudness, voice)
