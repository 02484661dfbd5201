"""What HEF's frames are compared by: losses, each a small function, their weights in training, and metrics.

Images in [-1, 1], flows in normalised units. The metrics are of self-reenactment of actors never trained on, and of the
flow against the true motion of the 3DMM.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from datamodules.batches import HEFBatch
from face3d.grid import identity_grid
from face3d.keypoints import EYES, MOUTH
from lightning_modules.hef.config import BASE_SIZE, HEFConfig
from lightning_modules.hef.flow import Flows
from lightning_modules.hef.generator import Animation, Task
from lightning_modules.hef.layers import resize
from lightning_modules.training.configs import Loss
from metrics.functional.image import frame_psnr

CELL = 2 / BASE_SIZE
"""Width of a coarsest cell in normalised units: flow losses are measured in it."""


def region_map(keypoints: Float[Tensor, "b 68 2"], size: int) -> Float[Tensor, "b 1 size size"]:
    """Soft map in [0, 1] of mouth and eyes: Gaussians about their middles, as wide as the parts themselves."""
    grid = identity_grid(size, size, keypoints.device)
    total = torch.zeros(keypoints.shape[0], size, size, device=keypoints.device)
    for part in (MOUTH, slice(EYES.start, EYES.start + 6), slice(EYES.start + 6, EYES.stop)):
        points = keypoints[:, part]
        middle = points.mean(dim=1)[:, None, None]
        radius = (points.amax(dim=1) - points.amin(dim=1)).amax(dim=1)[:, None, None] * 0.6
        distance = (grid - middle).square().sum(dim=-1)
        total = torch.maximum(total, torch.exp(-distance / (2 * (radius / 1.5).square() + 1e-6)))
    return total[:, None]


def pixel_loss(
    generated: Float[Tensor, "b 3 r r"], true: Float[Tensor, "b 3 r r"], weight: Float[Tensor, "b 1 r r"]
) -> Float[Tensor, ""]:
    """Weighted mean absolute error."""
    return ((generated - true).abs() * weight).mean()


def perceptual_loss(generated: Sequence[Tensor], true: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Mean absolute difference of features, mean over layers."""
    return torch.stack([(a - b).abs().mean() for a, b in zip(generated, true, strict=True)]).mean()


GAN = Literal["logistic", "hinge"]
"""Non-saturating logistic loss (Goodfellow et al. 2014), or hinge loss (Lim and Ye 2017)."""


def generator_adversarial_loss(judged: Float[Tensor, " b"], kind: GAN = "logistic") -> Float[Tensor, ""]:
    """Loss of logits on generated frames."""
    return (-judged if kind == "hinge" else F.softplus(-judged)).mean()


def discriminator_adversarial_loss(
    real: Float[Tensor, " b"], generated: Float[Tensor, " b"], kind: GAN = "logistic"
) -> Float[Tensor, ""]:
    """Loss of the discriminator."""
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + generated).mean()
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def temporal_loss(
    generated: Float[Tensor, "b 3 r r"], true: Float[Tensor, "b 3 r r"], successive: int = 2
) -> Float[Tensor, ""]:
    """Error of the change between neighbours: the batch begins with groups of so many frames that follow each other."""
    count = len(true) // successive * successive

    def changes(frames: Tensor) -> Tensor:
        places = range(successive - 1)
        return torch.cat([frames[k + 1 : count : successive] - frames[k:count:successive] for k in places])

    return (changes(generated) - changes(true)).abs().mean()


def rate_factor(schedule: Literal["constant", "cosine"], batch: int, steps: int) -> float:
    """Factor on the learning rates at a batch: 1, or a cosine from 1 to 0 at batch `steps`."""
    return 0.5 + 0.5 * math.cos(math.pi * min(1.0, batch / steps)) if schedule == "cosine" else 1.0


def gradient_penalty(judged: Float[Tensor, " n"], frames: Float[Tensor, "b 3 r r"]) -> Float[Tensor, ""]:
    """R1 (Mescheder et al. 2018): half the squared gradient of the logits at real frames, mean over the batch.

    A frame may have several logits (`hef.discriminator=parts`).
    """
    (gradient,) = torch.autograd.grad(judged.sum(), frames, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean() / 2


def identity_loss(generated: Float[Tensor, "b d"], true: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """1 - cosine of identity embeddings."""
    return (1 - F.cosine_similarity(generated, true, dim=1)).mean()


def emotion_loss(generated: Float[Tensor, "b d"], true: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """Distance of emotion embeddings on the unit sphere."""
    return (F.normalize(generated, dim=1) - F.normalize(true, dim=1)).square().sum(dim=1).mean()


def warp_loss(warped: Sequence[Tensor], target: Float[Tensor, "b 3 r r"]) -> Float[Tensor, ""]:
    """Error of the source warped by each scale's flow alone, at that scale: what teaches flow before appearance."""
    return torch.stack([(image - resize(target, image.shape[-1])).abs().mean() for image in warped]).mean()


def motion_loss(flows: Flows, motion: Float[Tensor, "b 2 r r"], seen: Float[Tensor, "b 1 r r"]) -> Float[Tensor, ""]:
    """Error of each flow against the projected motion of the 3DMM where skin is seen, in coarsest cells."""
    errors = []
    for flow in flows.flows:
        weight = resize(seen, flow.shape[-1])
        true = resize(motion * seen, flow.shape[-1]) / weight.clamp(min=1e-6)
        errors.append(((flow - true).abs() * weight).sum() / (2 * weight.sum() + 1e-6))
    return torch.stack(errors).mean() / CELL


def smoothness_loss(flows: Flows) -> Float[Tensor, ""]:
    """Total variation of each flow across the image, in coarsest cells."""
    errors = []
    for flow in flows.flows:
        across = (flow[..., 1:] - flow[..., :-1]).abs().mean() + (flow[..., 1:, :] - flow[..., :-1, :]).abs().mean()
        errors.append(across * flow.shape[-1] / BASE_SIZE)
    return torch.stack(errors).mean() / CELL


def warp_weight(batch: int, warmup_steps: int) -> float:
    """Factor on the warp loss at a batch: from 1 to a tenth over the warm-up."""
    return 1 - 0.9 * min(1.0, batch / max(1, warmup_steps))


def adversarial_weight(batch: int, warmup_steps: int) -> float:
    """Factor on the generator's adversarial loss at a batch: from 0 to 1 over the warm-up."""
    return min(1.0, batch / max(1, warmup_steps))


@dataclass(frozen=True)
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
        factors["warp"] *= warp_weight(batch, self.config.warmup_steps)
        factors["adversarial"] *= adversarial_weight(batch, self.config.warmup_steps)
        return {**factors, **{name: weight for name, (_, weight) in self.extra.items()}}

    def similarity(self, made: Animation, part: Task) -> dict[str, Tensor]:
        """The losses that compare with the truth: all but the adversarial one."""
        own = {name: loss(made.image, part.frames) for name, (loss, _) in self.extra.items()}
        appearance, critics = self._appearance_terms(made.image, part), self._critic_terms(made.image, part)
        return {**appearance, **critics, **self._flow_terms(made, part), **own}

    def _appearance_terms(self, image: Tensor, part: Task) -> dict[str, Tensor]:
        true, weight = part.frames.target, 1 + self.config.weights.region * part.region
        return {
            "pixel": pixel_loss(image, true, weight),
            "perceptual": perceptual_loss(self.perceptual(image), self.perceptual(true)),
        }

    def _critic_terms(self, image: Tensor, part: Task) -> dict[str, Tensor]:
        terms, true, points = {}, part.frames.target, part.keypoints
        if (critic := self.identity) is not None:
            terms["identity"] = identity_loss(critic.embed(image, points), critic.embed(true, points))
        if (critic := self.emotion) is not None:
            terms["emotion"] = emotion_loss(critic.features(image, points), critic.features(true, points))
        return terms

    def _flow_terms(self, made: Animation, part: Task) -> dict[str, Tensor]:
        terms = {"warp": warp_loss(made.warped, part.frames.target)}
        if self.config.knows_motion:
            assert part.motion is not None
            terms["motion"] = motion_loss(made.flows, part.motion[:, :2], part.motion[:, 2:])
        return {**terms, "smoothness": smoothness_loss(made.flows)}


@dataclass(frozen=True)
class Reenactment:
    """What a module made of a batch, and what is true."""

    image: Float[Tensor, "b 3 r r"]
    flow: Float[Tensor, "b 2 r r"]
    motion: Float[Tensor, "b 2 r r"]
    seen: Float[Tensor, "b 1 r r"]


def endpoint_error(
    flow: Float[Tensor, "b 2 r r"], motion: Float[Tensor, "b 2 r r"], seen: Float[Tensor, "b 1 r r"]
) -> Float[Tensor, " b"]:
    """Mean length of the flow's error over the seen skin of each frame, in pixels of the frame."""
    length = (flow - motion).square().sum(dim=1, keepdim=True).sqrt() * flow.shape[-1] / 2
    return (length * seen).sum(dim=(1, 2, 3)) / seen.sum(dim=(1, 2, 3)).clamp(min=1)


def score(batch: HEFBatch, made: Reenactment) -> dict[str, Float[Tensor, " b"]]:
    """Each frame's metrics; `copy_` is the source frame itself in place of the generated one, `still_` no flow.

    With `hef.motion` projected, the true motion of seen skin is also part of the drive: `flow_error_px` then measures
    how much of it the flow field keeps at full resolution, not whether motion could be found.
    """
    return {
        "PSNR": frame_psnr(made.image, batch.target),
        "L1": (made.image - batch.target).abs().mean(dim=(1, 2, 3)),
        "flow_error_px": endpoint_error(made.flow, made.motion, made.seen),
        "copy_PSNR": frame_psnr(batch.source, batch.target),
        "copy_L1": (batch.source - batch.target).abs().mean(dim=(1, 2, 3)),
        "still_flow_error_px": endpoint_error(torch.zeros_like(made.flow), made.motion, made.seen),
    }


def mean_scores(rows: Sequence[dict[str, Float[Tensor, " b"]]]) -> dict[str, float]:
    """Mean of each metric over all frames."""
    return {name: torch.cat([row[name] for row in rows]).mean().item() for name in rows[0]}
