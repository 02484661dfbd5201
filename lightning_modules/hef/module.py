"""HEF's optimisation: what the two networks are asked to do, batch after batch, and how they are used afterwards."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from datamodules.batches import HEFBatch
from face3d.renderer import Renderer
from lightning_modules.ame.conditioning import plain_codes, text_codes
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.hef import losses
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.discriminator import Discriminator
from lightning_modules.hef.evaluation import Reenactment, evaluate, test_batches
from lightning_modules.hef.generator import Animation, Generator, SourceCode
from lightning_modules.hef.layers import resize
from lightning_modules.hef.perceptual import perceptual_features
from lightning_modules.training.adversarial import AdversarialStage
from lightning_modules.training.ema import ExponentialAverage
from lightning_modules.training.optimisers import make_optimizer


@dataclasses.dataclass(frozen=True)
class Task:
    """A batch with what the 3DMM and the emotion encoder say of it, computed once for both losses."""

    frames: HEFBatch
    source: Float[Tensor, "b 4 r r"]
    """Render and mask of the source's face."""
    target: Float[Tensor, "b 4 r r"]
    """Render and mask of the target's face."""
    motion: Float[Tensor, "b 3 r r"]
    """The 3DMM's own flow (x, y) and where it is seen."""
    region: Float[Tensor, "b 1 r r"]
    """Soft map of mouth and eyes."""
    code: EmotionCode


@dataclasses.dataclass(frozen=True)
class Portrait:
    """What is computed once per portrait; the coefficients tell the motion to each driven frame."""

    code: SourceCode
    coefficients: Float[Tensor, "b 257"]
    placement: Float[Tensor, "b 3"]

    def expand(self, count: int) -> "Portrait":
        """One portrait for `count` driven frames, without copying."""
        return Portrait(self.code.expand(count), self.coefficients.expand(count, -1), self.placement.expand(count, -1))


class HEFModule(AdversarialStage):
    """Trains generator and discriminator; the averaged generator is what `animate` and `evaluate` use.

    `emotion_critic` (`features(images)`) and `identity_critic` (`embed(images)`) are frozen networks of losses;
    without one, its loss is left out. `perceptual` (images -> list of features) is used where the config names no
    VGG weights; without it, fixed random features take its place.
    """

    renderer: Renderer
    encoder: EmotionEncoder
    perceptual: Any
    emotion_critic: Any
    identity_critic: Any

    def __init__(
        self,
        config: HEFConfig,
        encoder: EmotionEncoder,
        renderer: Renderer,
        emotion_critic: nn.Module | None = None,
        identity_critic: nn.Module | None = None,
        perceptual: nn.Module | None = None,
    ) -> None:
        clip_norms = (config.generator_clip, config.discriminator_clip)
        super().__init__(micro_batches=config.micro_batches, clip_norms=clip_norms)
        self.config = config
        self.generator = Generator(config).to(memory_format=torch.channels_last)
        self.discriminator = Discriminator(config).to(memory_format=torch.channels_last)
        self.average = ExponentialAverage(self.generator, config.ema_decay)
        self.add_frozen("renderer", renderer)
        self.add_frozen("encoder", encoder)
        self.add_frozen("emotion_critic", emotion_critic)
        self.add_frozen("identity_critic", identity_critic)
        self.add_frozen("perceptual", perceptual_features(config.perceptual_path, perceptual))

    @property
    def adversary(self) -> nn.Module:
        """The discriminator."""
        return self.discriminator

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for each network, generator first."""
        rates = {
            self.generator: self.config.learning_rate,
            self.discriminator: self.config.discriminator_learning_rate,
        }
        return [make_optimizer([net], learning_rate=rate, betas=self.config.betas) for net, rate in rates.items()]

    def after_step(self) -> None:
        """Let the average follow the generator."""
        self.average.update(self.generator, self.current_batch)

    def parts(self, batch: HEFBatch) -> Sequence[Task]:
        """The batch in `micro_batches` equal parts, each drawn."""
        count = self.micro_batches
        assert len(batch) % count == 0, f"a batch of {len(batch)} does not divide into {count} parts"
        chunks = [getattr(batch, field.name).chunk(count) for field in dataclasses.fields(batch)]
        return [self.task(HEFBatch(*values)) for values in zip(*chunks, strict=True)]

    @torch.no_grad()
    def task(self, frames: HEFBatch, plain: bool = False) -> Task:
        """Draw a batch and find its emotion codes; `plain` takes the plainest prompt of each style."""
        source = frames.source_coefficients, frames.source_placement
        target = frames.target_coefficients, frames.target_placement
        drawn = self.renderer(*target)
        return Task(
            frames=frames,
            source=self.geometry(*source),
            target=torch.cat([drawn.image, drawn.mask], dim=1),
            motion=self.motion(*source, *target),
            region=losses.region_map(drawn.keypoints, self.config.resolution),
            code=plain_codes(self.encoder, frames) if plain else self.training_codes(frames),
        )

    def training_codes(self, frames: HEFBatch) -> EmotionCode:
        """Codes of random prompts; in a share `image_codes` of the batches, of the target frames themselves."""
        draw = float(torch.rand(()))
        if "image" in self.encoder.modalities and draw < self.config.image_codes:
            return self.encoder.encode_image(frames.target).detach()
        return text_codes(self.encoder, frames, slider_share=0.0).detach()

    @torch.no_grad()
    def geometry(
        self, coefficients: Float[Tensor, "b 257"], placement: Float[Tensor, "b 3"]
    ) -> Float[Tensor, "b 4 r r"]:
        """Render [-1, 1] and mask {0, 1} of a face: what the generator sees of the 3DMM."""
        drawn = self.renderer(coefficients, placement)
        return torch.cat([drawn.image, drawn.mask], dim=1)

    @torch.no_grad()
    def motion(
        self,
        source_coefficients: Float[Tensor, "b 257"],
        source_placement: Float[Tensor, "b 3"],
        coefficients: Float[Tensor, "b 257"],
        placement: Float[Tensor, "b 3"],
    ) -> Float[Tensor, "b 3 r r"]:
        """The 3DMM's own flow in normalised units, and its mask: the other half of the drive geometry."""
        flow, seen = self.renderer.motion(source_coefficients, source_placement, coefficients, placement)
        return torch.cat([flow * seen, seen], dim=1)

    def generator_loss(self, part: Task) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """Weighted sum of the generator's losses."""
        source = self.generator.encode_source(part.frames.source, part.source)
        made = self.generator.drive(source, part.target, part.motion, part.code.vector, part.code.token)
        judged = self.discriminator(made.image, part.target, part.code.vector)
        terms = {
            **self._appearance_terms(made.image, part),
            **self._critic_terms(made.image, part.frames.target),
            **self._flow_terms(made, part),
            "adversarial": losses.generator_adversarial_loss(judged),
        }
        factors = self._factors()
        total = torch.stack([factors[name] * value for name, value in terms.items()]).sum()
        return total, made.image, {**terms, "generator": total}

    def _factors(self) -> dict[str, float]:
        factors: dict[str, float] = dataclasses.asdict(self.config.weights)
        factors["warp"] *= losses.warp_weight(self.current_batch, self.config.warmup_steps)
        factors["adversarial"] *= losses.adversarial_weight(self.current_batch, self.config.warmup_steps)
        return factors

    def _appearance_terms(self, image: Tensor, part: Task) -> dict[str, Tensor]:
        true, weight = part.frames.target, 1 + self.config.weights.region * part.region
        return {
            "pixel": losses.pixel_loss(image, true, weight),
            "perceptual": losses.perceptual_loss(self.perceptual(image), self.perceptual(true)),
        }

    def _critic_terms(self, image: Tensor, true: Tensor) -> dict[str, Tensor]:
        terms = {}
        if (critic := self.identity_critic) is not None:
            terms["identity"] = losses.identity_loss(critic.embed(image), critic.embed(true))
        if (critic := self.emotion_critic) is not None:
            terms["emotion"] = losses.emotion_loss(critic.features(image), critic.features(true))
        return terms

    def _flow_terms(self, made: Animation, part: Task) -> dict[str, Tensor]:
        return {
            "warp": losses.warp_loss(made.warped, part.frames.target),
            "motion": losses.motion_loss(made.flows, part.motion[:, :2], part.motion[:, 2:]),
            "smoothness": losses.smoothness_loss(made.flows),
        }

    def discriminator_loss(self, part: Task, generated: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Logistic loss, and each `penalty_every` batches the gradient penalty at real frames."""
        every = self.config.penalty_every
        penalised = self.current_batch % every == 0
        real = part.frames.target.detach().clone().requires_grad_(penalised)
        judged = self.discriminator(real, part.target, part.code.vector)
        judged_generated = self.discriminator(generated, part.target, part.code.vector)
        loss = losses.discriminator_adversarial_loss(judged, judged_generated)
        if not penalised:
            return loss, {"discriminator": loss}
        penalty = losses.gradient_penalty(judged, real)
        total = loss + self.config.weights.gradient_penalty * every * penalty
        return total, {"discriminator": loss, "gradient_penalty": penalty}

    @torch.no_grad()
    def encode_source(
        self,
        image: Float[Tensor, "b 3 r r"],
        coefficients: Float[Tensor, "b 257"],
        placement: Float[Tensor, "b 3"],
    ) -> Portrait:
        """Once per portrait: what `drive` needs of it."""
        code = self._network.encode_source(image, self.geometry(coefficients, placement))
        return Portrait(code, coefficients, placement)

    @torch.no_grad()
    def drive(
        self,
        portrait: Portrait,
        coefficients: Float[Tensor, "b 257"],
        placement: Float[Tensor, "b 3"],
        code: EmotionCode,
    ) -> Animation:
        """Once per frame (or batch of frames): the portrait as the coefficients and the emotion want it."""
        if len(portrait.coefficients) != len(coefficients):
            portrait = portrait.expand(len(coefficients))
        motion = self.motion(portrait.coefficients, portrait.placement, coefficients, placement)
        geometry = self.geometry(coefficients, placement)
        return self._network.drive(portrait.code, geometry, motion, code.vector, code.token)

    def animate(
        self,
        source: Float[Tensor, "b 3 r r"],
        source_coefficients: Float[Tensor, "b 257"],
        source_placement: Float[Tensor, "b 3"],
        drive_coefficients: Float[Tensor, "n 257"],
        drive_placement: Float[Tensor, "n 3"],
        code: EmotionCode,
    ) -> Float[Tensor, "n 3 r r"]:
        """Frames in [-1, 1] from portraits (one for all frames, or one each)."""
        encoded = self.encode_source(source, source_coefficients, source_placement)
        return self.drive(encoded, drive_coefficients, drive_placement, code).image

    @property
    def _network(self) -> Generator:
        network = self.average.network
        assert isinstance(network, Generator)
        return network

    @torch.no_grad()
    def reenact(self, batch: HEFBatch) -> Reenactment:
        """The averaged generator's frame and flow for a batch, beside the true motion."""
        task = self.task(batch, plain=True)
        made = self._network(batch.source, task.source, task.target, task.motion, task.code.vector, task.code.token)
        flow = resize(made.flows.flows[-1], self.config.resolution)
        return Reenactment(made.image, flow, task.motion[:, :2], task.motion[:, 2:])

    def evaluate(self, data: Any) -> dict[str, float]:
        """PSNR, L1 and the flow's endpoint error on test actors, beside those of copying the source."""
        self.eval()
        return evaluate(test_batches(data, self.config.evaluate_frames, self.device), self.reenact)
