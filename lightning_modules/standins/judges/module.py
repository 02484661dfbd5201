"""JudgesModule: trains the four small networks behind the metrics together; `suite` makes the protocol of them.

How far judges and critics can be trusted is their accuracy on true images of people that were held out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional import pearson_corrcoef
from torchmetrics.functional.classification import binary_auroc

from conventions.emotions import EMOTIONS
from face3d.keypoints import LOWER_INNER_LIP, UPPER_INNER_LIP
from lightning_modules.standins.config import JudgesConfig
from lightning_modules.standins.judges import losses
from lightning_modules.standins.judges.data import FaceBatch, JudgeBatch, SpeechClip
from lightning_modules.standins.judges.losses import as_float
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import Schedule, adamw_with_cosine
from lightning_modules.training.stage import Phase, Rows, StageModule
from metrics.backbones.judges import EmotionJudge, IdentityJudge, LandmarkJudge, SyncJudge
from metrics.functional.landmarks import landmark_distance
from metrics.functional.sync import sync_scores
from metrics.networks import Networks
from metrics.suite import LMD_CROP, Suite


def same_person_auc(embeddings: Float[Tensor, "n d"], person: Int[Tensor, " n"]) -> float:
    """Probability that two images of one person are more alike than two of different persons (0.5 = chance).

    NaN where all pairs are alike in that.
    """
    first, second = torch.triu_indices(len(person), len(person), 1)
    same = person[first] == person[second]
    if same.all() or not same.any():
        return float("nan")
    cosine = (embeddings[first] * embeddings[second]).sum(dim=1)
    return binary_auroc((cosine.double() + 1) / 2, same.long()).item()


def mouth_opening(landmarks: Float[Tensor, "n 68 2"]) -> Float[Tensor, " n"]:
    """Height of the gap between the inner lips."""
    return landmarks[:, LOWER_INNER_LIP, 1] - landmarks[:, UPPER_INNER_LIP, 1]


def score_faces(
    landmark: LandmarkJudge, emotion: EmotionJudge, identity: IdentityJudge, faces: FaceBatch
) -> dict[str, float]:
    """Landmark error in px of a 256 px crop, as found and as LMD; mouth opening; emotions; same-person AUC."""
    images, true = as_float(faces.images), faces.landmarks
    found = landmark.landmarks(images)
    return {
        "landmark_error_px": float((found - true).norm(dim=-1).mean() * LMD_CROP / 2),
        "mouth_error_px": float(landmark_distance(found, true, LMD_CROP, "mouth")),
        "mouth_opening_r": pearson_corrcoef(mouth_opening(found), mouth_opening(true)).item(),
        "emotion_accuracy": float((emotion(images).argmax(dim=1) == faces.emotion).float().mean()),
        "identity_auc": same_person_auc(identity.embed(images), faces.person),
        "test_faces": float(len(faces)),
    }


def score_speech(sync: SyncJudge, emotion: EmotionJudge, clip: SpeechClip) -> dict[str, float]:
    """Whether a clip's offset is found within a frame, its scores, and whether its emotion is found over all frames."""
    starts = range(clip.num_windows)
    video = sync.video(as_float(clip.pictures(starts)))
    confidence, distance, offset = (float(score) for score in sync_scores(sync.audio(clip.sounds(starts)), video))
    row = {"sync_accuracy": float(abs(offset) <= 1), "sync_confidence": confidence, "sync_distance": distance}
    if clip.emotion in EMOTIONS:
        shown = emotion.probabilities(as_float(clip.frames)).mean(dim=0).argmax()
        row["emotion_accuracy_clips"] = float(int(shown) == EMOTIONS.index(clip.emotion))
    return row


def mean_speech(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means of `score_speech` over the clips that have each."""
    names = ("sync_accuracy", "sync_confidence", "sync_distance", "emotion_accuracy_clips")
    means = {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
    return {**means, "test_clips": float(len(rows))}


LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 0.05
WARMUP = 20


class JudgesModule(StageModule):
    """Landmark, emotion, identity and sync judge, one optimiser, losses added; they share no parameter."""

    config: JudgesConfig

    def __init__(self, config: JudgesConfig | Mapping[str, Any]) -> None:
        config = as_config(JudgesConfig, config)
        super().__init__(config)
        self.landmark = LandmarkJudge(config.width)
        self.emotion = EmotionJudge(config.width)
        self.identity = IdentityJudge(config.width)
        self.sync = SyncJudge(config.width)

    def losses(self, batch: JudgeBatch) -> dict[str, Float[Tensor, ""]]:
        """Unweighted losses by the names of `JudgeWeights`; each network gets images augmented anew."""
        images = losses.as_float(batch.images)
        moved, landmarks = losses.augment(images, batch.landmarks)
        found = self.landmark(moved)
        return {
            "landmarks": losses.landmark_loss(found, landmarks),
            "mouth": losses.mouth_shape_loss(found, landmarks),
            "emotion": self._emotion_loss(images, batch),
            "identity": self._identity_loss(images, batch),
            "sync": self._sync_loss(batch),
        }

    def _emotion_loss(self, images: Tensor, batch: JudgeBatch) -> Tensor:
        moved, _ = losses.augment(images, batch.landmarks)
        return F.cross_entropy(self.emotion(losses.mirror(moved)), batch.emotion, label_smoothing=LABEL_SMOOTHING)

    def _identity_loss(self, images: Tensor, batch: JudgeBatch) -> Tensor:
        moved, _ = losses.augment(images, batch.landmarks)
        return losses.identity_loss(self.identity.embed(moved), batch.person, self.config.temperature)

    def _sync_loss(self, batch: JudgeBatch) -> Tensor:
        relit = losses.relit_halves(losses.as_float(batch.pictures))
        return losses.sync_loss(self.sync.audio(batch.sounds), self.sync.lower_halves(relit), self.config.temperature)

    def training_step(self, batch: JudgeBatch, batch_idx: int) -> Tensor:
        """Weighted sum of the losses; the sync network standardises sounds by the moments of the first batch."""
        if self.batch_number == 0:
            self.sync.standardise(batch.sounds)
        values = self.losses(batch)
        total = torch.stack([getattr(self.config.weights, name) * value for name, value in values.items()]).sum()
        self.log_scalars({"loss": total, **values})
        return total

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine schedule."""
        return adamw_with_cosine(self, Schedule(self.config.steps, self.config.learning_rate, WARMUP, WEIGHT_DECAY))

    def suite(self) -> Suite:
        """The metric protocol with these networks in every role, all of them marked as stand-ins."""
        self.eval().requires_grad_(False)
        return Suite(Networks.from_judges(self), device=self.device)

    def evaluate_batch(self, batch: FaceBatch | SpeechClip, loader: int, phase: Phase) -> dict[str, float]:
        """How far each judge can be trusted: accuracy on true images and clips of people held out."""
        if isinstance(batch, FaceBatch):
            return score_faces(self.landmark, self.emotion, self.identity, batch)
        return score_speech(self.sync, self.emotion, batch)

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Those of the faces, and means over the clips."""
        return {**rows[0][0], **mean_speech(rows[1])}
