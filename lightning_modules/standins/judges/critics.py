"""CriticsModule: the small networks inside the losses of EAC (renders beside photographs) and HEF (photographs)."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.standins.config import JudgesConfig
from lightning_modules.standins.judges import losses
from lightning_modules.standins.judges.critic_data import CriticBatch
from lightning_modules.standins.judges.evaluation import same_person_auc
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import Schedule, adamw_with_cosine
from lightning_modules.training.parents import Recipe
from lightning_modules.training.stage import Phase, Rows, StageModule
from metrics.backbones.judges import EmotionJudge, IdentityJudge, Trunk

LABEL_SMOOTHING = 0.05
WEIGHT_DECAY = 0.05
WARMUP = 20


class _Rebuilt(nn.Module):
    """A network of a trunk that a checkpoint of its child can carry."""

    trunk: Trunk

    def recipe(self) -> Recipe:
        """Its width and its weights."""
        return {"width": next(self.trunk.parameters()).shape[0], "state": self.state_dict()}

    @classmethod
    def rebuild(cls, recipe: Recipe) -> nn.Module:
        """The network of a recipe."""
        network = cls(recipe["width"])
        network.load_state_dict(recipe["state"])
        return network.eval()


class EmotionCritic(_Rebuilt, EmotionJudge):
    """The emotion network of a loss."""


class IdentityCritic(_Rebuilt, IdentityJudge):
    """The identity network of a loss."""


class TrunkLayers(_Rebuilt):
    """Maps of a trunk at four depths: what a perceptual loss compares."""

    stand_in = True

    def __init__(self, width: int, trunk: Trunk | None = None) -> None:
        super().__init__()
        self.trunk = trunk or Trunk(width, fine=True)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """The maps of frames in [-1, 1], at the frames' own size."""
        return self.trunk.maps(images)


class CriticsModule(StageModule):
    """Three networks that share no parameter, one optimiser.

    `face_emotion` is for renders and photographs alike (EAC's L_emo): it names the emotion of both, and a photograph
    and the render of the same face have like features. `photo_emotion` and `photo_identity` are for photographs (HEF's
    losses). All are differentiable to the images: `features(images)`, `embed(images)`, and `perceptual()(images)`.
    """

    config: JudgesConfig

    def __init__(self, config: JudgesConfig | Mapping[str, Any]) -> None:
        config = as_config(JudgesConfig, config)
        super().__init__(config)
        self.face_emotion = EmotionCritic(config.critics.width)
        self.photo_emotion = EmotionCritic(config.critics.width)
        self.photo_identity = IdentityCritic(config.critics.width)

    def perceptual(self) -> TrunkLayers:
        """The identity network's maps."""
        return TrunkLayers(self.config.critics.width, self.photo_identity.trunk)

    def losses(self, batch: CriticBatch) -> dict[str, Float[Tensor, ""]]:
        """Cross-entropy of emotions on renders and photographs, distance of both domains, contrast of persons."""
        photographs = [_altered(batch.images) for _ in range(2)]
        both = torch.cat([_altered(images) for images in (batch.images, batch.own_renders, batch.renders)])
        features = self.face_emotion.features(both)
        named = torch.cat([batch.emotion, batch.emotion, batch.render_emotion])
        photo, render = features[: 2 * len(batch)].chunk(2)
        return {
            "face_emotion": 2 * _classify(self.face_emotion.classes(features), named),
            "face_domains": 1 - F.cosine_similarity(photo, render).mean(),
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
        return adamw_with_cosine(self, Schedule(numbers.steps, numbers.learning_rate, WARMUP, WEIGHT_DECAY))

    def evaluate_batch(self, batch: CriticBatch, loader: int, phase: Phase) -> dict[str, float]:
        """Accuracy on images and renders of people held out, and how far an image's features lie from those of its
        own render and of another face's.
        """
        images, own, renders = map(losses.as_float, (batch.images, batch.own_renders, batch.renders))
        return {
            "photo_emotion_accuracy": _accuracy(self.photo_emotion(images), batch.emotion),
            "render_emotion_accuracy": _accuracy(self.face_emotion(renders), batch.render_emotion),
            "face_emotion_accuracy": _accuracy(self.face_emotion(images), batch.emotion),
            "domain_distance": _distance(*map(self.face_emotion.features, (images, own))),
            "stranger_distance": _distance(*map(self.face_emotion.features, (images, own.roll(1, 0)))),
            "photo_identity_auc": same_person_auc(self.photo_identity.embed(images), batch.person),
            "test_faces": float(len(batch)),
        }

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Those of the one batch."""
        return rows[0][0]


def _altered(images: Tensor) -> Tensor:
    floats = losses.as_float(images)
    return losses.mirror(losses.augment(floats, floats.new_zeros(len(floats), 68, 2))[0])


def _classify(logits: Tensor, emotion: Tensor) -> Tensor:
    return F.cross_entropy(logits, emotion, label_smoothing=LABEL_SMOOTHING)


def _distance(one: Tensor, other: Tensor) -> float:
    return float((1 - F.cosine_similarity(one, other)).mean())


def _accuracy(logits: Tensor, emotion: Tensor) -> float:
    return float((logits.argmax(dim=1) == emotion).float().mean())
