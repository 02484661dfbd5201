"""JudgesModule: trains the four small networks behind the metrics together; `suite` makes the protocol of them."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from lightning_modules.standins.config import JudgesConfig
from lightning_modules.standins.judges import losses
from lightning_modules.standins.judges.data import FaceBatch, JudgeBatch, SpeechClip
from lightning_modules.standins.judges.evaluation import mean_speech, score_faces, score_speech
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import Schedule, adamw_with_cosine
from lightning_modules.training.stage import Phase, Rows, StageModule
from metrics.backbones.judges import EmotionJudge, IdentityJudge, LandmarkJudge, SyncJudge
from metrics.networks import Networks
from metrics.suite import Suite

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
