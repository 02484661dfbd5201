"""The metric protocol as a whole: clips in, one row of named values for each, their means and what they rest on."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from metrics.backbones.protocols import (
    EmotionBackbone,
    IdentityBackbone,
    InceptionBackbone,
    LandmarkBackbone,
    PerceptualBackbone,
    SyncBackbone,
)
from metrics.frechet import ENOUGH_FRAMES, FrechetDistance
from metrics.functional import features, image, landmarks, sync
from metrics.protocol import METRIC_NAMES, USES
from metrics.speech_features import sync_windows

LMD_CROP = 256
"""LMD is given in px of a crop of this size, whatever the frames' own size."""

SYNC_BATCH = 128

SET_METRICS = frozenset({"FID"})
"""Values of the whole set of clips; a single clip has none."""

Clip = Float[Tensor, "_t 3 _h _w"] | UInt8[Tensor, "_t 3 _h _w"]


def as_images(frames: Clip) -> Float[Tensor, "_t 3 _h _w"]:
    """Frames in [-1, 1]; uint8 frames are converted, float ones are clamped."""
    return frames.float() / 127.5 - 1 if frames.dtype == torch.uint8 else frames.float().clamp(-1, 1)


@dataclass
class Suite:
    """The protocol over a choice of backbones; a metric whose backbone is absent is NaN.

    One suite scores one method: FID gathers the features of all clips since `reset`. `fresh` starts another method.
    """

    landmarks: LandmarkBackbone | None = None
    emotion: EmotionBackbone | None = None
    identity: IdentityBackbone | None = None
    sync: SyncBackbone | None = None
    inception: InceptionBackbone | None = None
    perceptual: PerceptualBackbone | None = None
    frechet: FrechetDistance | None = field(default=None, init=False)
    num_clips: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the clips scored so far."""
        self.num_clips = 0
        self.frechet = FrechetDistance(self.inception.num_features) if self.inception else None

    def fresh(self) -> "Suite":
        """A suite of the same backbones that has scored nothing."""
        return Suite(self.landmarks, self.emotion, self.identity, self.sync, self.inception, self.perceptual)

    @property
    def stand_ins(self) -> set[str]:
        """Metrics whose values pass through a substitute backbone: tables mark them."""
        return {
            metric for name, used in USES.items() if getattr(getattr(self, name), "stand_in", False) for metric in used
        }

    @property
    def backbones(self) -> dict[str, str]:
        """Name of the network in each role; roles without one are left out."""
        return {name: getattr(self, name).name for name in USES if getattr(self, name) is not None}

    @torch.inference_mode()
    def score_clip(
        self, generated: Clip, true: Clip, audio: Float[Tensor, " samples"], source: Clip, emotion: int | None = None
    ) -> dict[str, float]:
        """One clip's row: every name of `METRIC_NAMES` (NaN where there is no value), `frames`, `frames_without_face`.

        `generated` and `true` start together; the longer one is cut. `audio` is 16 kHz in [-1, 1]; `source` holds
        the source portrait as one frame; `emotion` indexes `EMOTIONS`, None for a style that is none of them.
        """
        length = min(len(generated), len(true))
        generated, true, source = as_images(generated[:length]), as_images(true[:length]), as_images(source[:1])
        if generated.shape != true.shape:
            raise ValueError(f"frames of {tuple(generated.shape[2:])} px against {tuple(true.shape[2:])} px")
        row = dict.fromkeys(METRIC_NAMES, math.nan) | {"frames": float(length), "frames_without_face": 0.0}
        row["PSNR"] = float(image.psnr(generated, true))
        row["SSIM"] = float(image.ssim(generated, true))
        row |= self.score_landmarks(generated, true) | self.score_emotion(generated, true, emotion)
        row |= self.score_identity(generated, true, source) | self.score_sync(generated, audio)
        row |= self.score_features(generated, true)
        self.num_clips += 1
        return row

    def score_landmarks(self, generated: Tensor, true: Tensor) -> dict[str, float]:
        """LMD of mouth and face, and the number of frames in which either face was not found."""
        if self.landmarks is None:
            return {}
        found, wanted = self.landmarks.landmarks(generated), self.landmarks.landmarks(true)
        lost = (found + wanted).isnan().flatten(1).any(dim=1).sum()
        return {
            "LMD": float(landmarks.landmark_distance(found, wanted, LMD_CROP, "mouth")),
            "LMD_face": float(landmarks.landmark_distance(found, wanted, LMD_CROP, "face")),
            "frames_without_face": float(lost),
        }

    def score_emotion(self, generated: Tensor, true: Tensor, emotion: int | None) -> dict[str, float]:
        """EFD, and whether the wanted emotion is recognised."""
        if self.emotion is None:
            return {}
        found, wanted = self.emotion.features(generated), self.emotion.features(true)
        row = {"EFD": float(features.emotion_feature_distance(found, wanted))}
        if emotion is not None:
            mean = self.emotion.probabilities(generated).nanmean(dim=0, keepdim=True)
            row["EmotionAccuracy"] = float(features.emotion_accuracy(mean, torch.tensor([emotion], device=mean.device)))
        return row

    def score_identity(self, generated: Tensor, true: Tensor, source: Tensor) -> dict[str, float]:
        """CSIM against the true frames and against the source portrait."""
        if self.identity is None:
            return {}
        found = self.identity.embed(generated)
        references = {"CSIM": self.identity.embed(true), "CSIM_source": self.identity.embed(source)}
        return {key: float(features.cosine_similarity_of_identity(found, value)) for key, value in references.items()}

    def score_sync(self, generated: Tensor, audio: Tensor) -> dict[str, float]:
        """Confidence, distance and offset of the generated frames against the driving sound."""
        if self.sync is None:
            return {}
        pictures, sounds = sync_windows(generated, audio)
        if len(pictures) == 0:
            return {}
        video = torch.cat([self.sync.video(batch) for batch in pictures.split(SYNC_BATCH)])
        scores = sync.sync_scores(self.sync.audio(sounds), video)
        return dict(zip(USES["sync"], map(float, scores), strict=True))

    def score_features(self, generated: Tensor, true: Tensor) -> dict[str, float]:
        """LPIPS of the clip; its frames enter FID."""
        if self.inception is not None and self.frechet is not None:
            self.frechet.update(self.inception.features(generated), self.inception.features(true))
        if self.perceptual is None:
            return {}
        return {"LPIPS": float(self.perceptual.distance(generated, true).mean())}

    def aggregate(self, rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Means over clips, FID of the set, and for each clip metric without a value somewhere `<name>_missing`.

        `rows` must be those of all clips scored since `reset`, or FID would belong to other clips (ValueError).
        """
        if len(rows) != self.num_clips:
            raise ValueError(f"{len(rows)} rows, but {self.num_clips} clips were scored since the last reset")
        table = clip_means(rows)
        table["FID"] = float(self.frechet.compute()) if self.frechet is not None else math.nan
        if self.frechet is not None and table["frames"] < ENOUGH_FRAMES:
            logging.getLogger(__name__).warning(
                "FID from %d frames: under %d it is biased, compare only rows of the same number",
                table["frames"],
                ENOUGH_FRAMES,
            )
        return table


def clip_means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean over rows of each clip metric, `<name>_missing` where some row has no value, and the sums of the counts."""
    table: dict[str, float] = {"clips": float(len(rows))}
    for name in METRIC_NAMES:
        values = [row[name] for row in rows if not math.isnan(row[name])]
        table[name] = math.fsum(values) / len(values) if values else math.nan
        if len(values) < len(rows) and name not in SET_METRICS:
            table[f"{name}_missing"] = float(len(rows) - len(values))
    for name in ("frames", "frames_without_face"):
        table[name] = math.fsum(row[name] for row in rows)
    return table
