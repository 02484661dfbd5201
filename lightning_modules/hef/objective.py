"""The generator's losses that compare with the truth, and the weight of each loss in the course of training."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lightning_modules.hef import losses
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.generator import Animation
from lightning_modules.hef.tasks import Task
from lightning_modules.training.extra_losses import Loss


@dataclasses.dataclass(frozen=True)
class GeneratorObjective:
    """Losses by name with their weights; without an identity or emotion network, its loss is left out."""

    config: HEFConfig
    perceptual: Any
    identity: Any
    emotion: Any
    extra: Mapping[str, tuple[Loss, float]]

    def total(self, terms: Mapping[str, Tensor], batch: int) -> Float[Tensor, ""]:
        """Weighted sum of losses, with the weights of training batch number `batch`."""
        factors = self.factors(batch)
        return torch.stack([factors[name] * value for name, value in terms.items()]).sum()

    def factors(self, batch: int) -> dict[str, float]:
        """Weight of each loss at training batch number `batch`."""
        factors: dict[str, float] = dataclasses.asdict(self.config.weights)
        factors["warp"] *= losses.warp_weight(batch, self.config.warmup_steps)
        factors["adversarial"] *= losses.adversarial_weight(batch, self.config.warmup_steps)
        return {**factors, **{name: weight for name, (_, weight) in self.extra.items()}}

    def similarity(self, made: Animation, part: Task) -> dict[str, Tensor]:
        """The losses that compare with the truth: all but the adversarial one."""
        own = {name: loss(made.image, part.frames) for name, (loss, _) in self.extra.items()}
        appearance, critics = self._appearance_terms(made.image, part), self._critic_terms(made.image, part)
        return {**appearance, **critics, **self._flow_terms(made, part), **own}

    def _appearance_terms(self, image: Tensor, part: Task) -> dict[str, Tensor]:
        true, weight = part.frames.target, 1 + self.config.weights.region * part.region
        return {
            "pixel": losses.pixel_loss(image, true, weight),
            "perceptual": losses.perceptual_loss(self.perceptual(image), self.perceptual(true)),
        }

    def _critic_terms(self, image: Tensor, part: Task) -> dict[str, Tensor]:
        terms, true, points = {}, part.frames.target, part.keypoints
        if (critic := self.identity) is not None:
            terms["identity"] = losses.identity_loss(critic.embed(image, points), critic.embed(true, points))
        if (critic := self.emotion) is not None:
            terms["emotion"] = losses.emotion_loss(critic.features(image, points), critic.features(true, points))
        return terms

    def _flow_terms(self, made: Animation, part: Task) -> dict[str, Tensor]:
        terms = {"warp": losses.warp_loss(made.warped, part.frames.target)}
        if self.config.knows_motion:
            assert part.motion is not None
            terms["motion"] = losses.motion_loss(made.flows, part.motion[:, :2], part.motion[:, 2:])
        return {**terms, "smoothness": losses.smoothness_loss(made.flows)}
