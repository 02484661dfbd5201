"""CriticsModule: the small networks inside the losses of EAC (on renders) and HEF (on photographs)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.standins.judges import losses
from lightning_modules.standins.judges.config import JudgesConfig
from lightning_modules.standins.judges.critic_data import CriticBatch, CriticsData
from lightning_modules.standins.judges.data import image_tensor
from lightning_modules.standins.judges.evaluation import same_person_auc
from lightning_modules.training.optimisers import make_optimizer, make_schedule
from lightning_modules.training.stage import StageModule
from metrics.backbones.judges import EmotionJudge, IdentityJudge, Trunk

LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 0.05
WARMUP = 20


class TrunkLayers(nn.Module):
    """Maps of a trained trunk at four depths: what a perceptual loss compares."""

    stand_in = True

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps of frames in [-1, 1], at the frames' own size."""
        return self.trunk.maps(images)


class CriticsModule(StageModule):
    """Three networks that share no parameter, one optimiser.

    `render_emotion` sees renders (EAC's L_emo); `photo_emotion` and `photo_identity` see photographs (HEF's losses).
    All are differentiable to the images: `features(images)`, `embed(images)`, and `perceptual()(images)`.
    """

    def __init__(self, config: JudgesConfig) -> None:
        super().__init__()
        self.config = config
        self.render_emotion = EmotionJudge(config.critics.width)
        self.photo_emotion = EmotionJudge(config.critics.width)
        self.photo_identity = IdentityJudge(config.critics.width)

    def perceptual(self) -> TrunkLayers:
        """The identity network's maps."""
        return TrunkLayers(self.photo_identity.trunk)

    def losses(self, batch: CriticBatch) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy of emotions on renders and photographs, contrast of persons."""
        photographs = [_altered(batch.images) for _ in range(2)]
        return {
            "render_emotion": _classify(self.render_emotion(_altered(batch.renders)), batch.render_emotion),
            "photo_emotion": _classify(self.photo_emotion(photographs[0]), batch.emotion),
            "photo_identity": losses.identity_loss(
                self.photo_identity.embed(photographs[1]), batch.person, self.config.temperature
            ),
        }

    def training_step(self, batch: CriticBatch, batch_idx: int) -> Tensor:
        """Sum of the losses."""
        values = self.losses(batch)
        total = torch.stack(list(values.values())).sum()
        self.log_scalars({"loss": total, **values})
        return total

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine schedule."""
        numbers = self.config.critics
        optimizer = make_optimizer([self], learning_rate=numbers.learning_rate, weight_decay=WEIGHT_DECAY)
        schedule = make_schedule(optimizer, kind="cosine", warmup=WARMUP, steps=numbers.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.inference_mode()
    def evaluate(self, data: CriticsData) -> dict[str, float]:
        """Accuracy on pictures and renders of people held out."""
        self.eval()
        images = losses.as_float(image_tensor(data.test_faces.images)).to(self.device)
        emotion = torch.from_numpy(data.test_faces.emotion).to(self.device)
        renders = losses.as_float(data.test_renders.images).to(self.device)
        person = torch.from_numpy(data.test_faces.person).to(self.device)
        drawn = data.test_renders.emotion.to(self.device)
        return {
            "photo_emotion_accuracy": _accuracy(self.photo_emotion(images), emotion),
            "render_emotion_accuracy": _accuracy(self.render_emotion(renders), drawn),
            "photo_identity_auc": same_person_auc(self.photo_identity.embed(images), person),
            "test_faces": float(len(data.test_faces)),
        }


def _altered(images: Tensor) -> Tensor:
    floats = losses.as_float(images)
    return losses.mirror(losses.augment(floats, floats.new_zeros(len(floats), 68, 2))[0])


def _classify(logits: Tensor, emotion: Tensor) -> Tensor:
    return F.cross_entropy(logits, emotion, label_smoothing=LABEL_SMOOTHING)


def _accuracy(logits: Tensor, emotion: Tensor) -> float:
    return float((logits.argmax(dim=1) == emotion).float().mean())
