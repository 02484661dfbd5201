"""HEF's optimisation: the losses of generator and discriminator, one step of each a batch, and how HEF is used."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from conventions.errors import UserError
from conventions.rates import FRAMES_PER_WINDOW
from datamodules.batches import HEFBatch, HEFSoundBatch
from face3d.renderer import Renderer
from lightning_modules.ame.conditioning import batch_codes, plain_codes
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, Modality
from lightning_modules.hef import losses
from lightning_modules.hef.augment import augmented, displaced
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.discriminator import build_discriminator
from lightning_modules.hef.generator import Animation, Generator, Portrait, Task
from lightning_modules.hef.layers import RandomFeatures, resize
from lightning_modules.hef.losses import GeneratorObjective, Reenactment, mean_scores, score
from lightning_modules.training.configs import as_config, load_losses
from lightning_modules.training.lip_sync import lip_sync_loss
from lightning_modules.training.optimisers import (
    ExponentialAverage,
    make_optimizer,
    refuse_half_precision,
    silence_step_hooks,
)
from lightning_modules.training.parents import Recipe
from lightning_modules.training.stage import Phase, Rows, StageModule, without_gradients


class HEFModule(StageModule):
    """Trains generator and discriminator; `animate` and the evaluation use the averaged generator.

    `config.micro_batches` > 1 splits each batch into that many equal parts and steps once (gradient accumulation); the
    step count stays the number of batches.

    Args:
        config: settings of HEF, or the plain mapping of a checkpoint.
        encoder: makes the emotion codes; frozen here.
        renderer: draws the 3DMM at `config.resolution`.
        emotion_critic: frozen network of the emotion loss with `features(images, landmarks [b, 68, 2] in [-1, 1])`;
            without it the loss is left out.
        identity_critic: frozen network of the identity loss with `embed(images, landmarks)`; without it the loss is
            left out.
        perceptual: maps images to a list of features; by default a network with fixed random weights.
        sync_expert: network of the lip-sync loss (see `lightning_modules.training.lip_sync`); None where it has no
            weight.

    Raises:
        UserError: `renderer` does not draw at `config.resolution`.
    """

    config: HEFConfig
    renderer: Renderer
    encoder: EmotionEncoder
    perceptual: Any
    emotion_critic: Any
    identity_critic: Any
    sync_expert: Any

    def __init__(
        self,
        config: HEFConfig | Mapping[str, Any],
        encoder: EmotionEncoder,
        renderer: Renderer,
        emotion_critic: nn.Module | None = None,
        identity_critic: nn.Module | None = None,
        perceptual: nn.Module | None = None,
        sync_expert: nn.Module | None = None,
    ) -> None:
        config = as_config(HEFConfig, config)
        if renderer.size != config.resolution:
            raise UserError(f"hef.resolution is {config.resolution}, renderer= draws {renderer.size} px")
        if config.weights.sync > 0 and sync_expert is None:
            raise UserError("hef.weights.sync > 0 needs sync_expert=, a network with audio(mfcc) and video(frames)")
        super().__init__(config)
        self.automatic_optimization = False
        self.current_batch = 0
        self.extra_losses = load_losses(config.extra_losses)
        self.generator = Generator(config).to(memory_format=torch.channels_last)
        self.discriminator = build_discriminator(config).to(memory_format=torch.channels_last)
        self.average = ExponentialAverage(self.generator, config.ema_decay)
        self.add_frozen("renderer", renderer)
        self.add_frozen("encoder", encoder)
        self.add_frozen("emotion_critic", emotion_critic)
        self.add_frozen("identity_critic", identity_critic)
        self.add_frozen("perceptual", perceptual or RandomFeatures())
        self.add_frozen("sync_expert", sync_expert)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Adam for each network, generator first."""
        config = self.config
        rates = {self.generator: config.learning_rate, self.discriminator: config.discriminator_learning_rate}
        return [make_optimizer([net], learning_rate=rate, betas=config.betas) for net, rate in rates.items()]

    def on_fit_start(self) -> None:
        """Refuse loss-scaling precisions before the first batch."""
        super().on_fit_start()
        refuse_half_precision(str(self.trainer.precision))

    def training_step(self, batch: HEFBatch, batch_idx: int) -> dict[str, Tensor]:
        """One step of the generator, one of the discriminator on what the generator made, then the average's."""
        self.current_batch = self.batch_number
        generator, discriminator = self.optimizers()  # pyright: ignore[reportGeneralTypeIssues]
        silence_step_hooks(discriminator)
        self._set_rates(generator, discriminator)
        parts = self.parts(batch)
        generated, scalars = self._generator_step(generator, parts)
        loss, judged = self._discriminator_step(discriminator, parts, generated)
        self.average.update(self.generator, self.current_batch)
        # In one call: in a fit's first batch Lightning drops what a hook logged before another hook had its turn.
        self.log_scalars({**scalars, **judged})
        return {"loss": scalars["generator"] + loss}

    def _set_rates(self, *optimizers: LightningOptimizer) -> None:
        """The learning rates of this batch: a function of its number alone."""
        factor = losses.rate_factor(self.config.schedule, self.current_batch, self.config.steps)
        rates = self.config.learning_rate, self.config.discriminator_learning_rate
        for optimizer, rate in zip(optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    def _generator_step(
        self, optimizer: LightningOptimizer, parts: Sequence[Task]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The frames made, and the losses; gradients flow through the discriminator but not into its parameters."""
        generated, logs = [], []
        with self.toggled_optimizer(optimizer):
            optimizer.zero_grad()
            for part in parts:
                loss, made, scalars = self.generator_loss(part)
                self.manual_backward(loss / len(parts))
                generated.append(made.detach())
                logs.append(scalars)
            optimizer.step()
        return generated, _mean(logs)

    def _discriminator_step(
        self, optimizer: LightningOptimizer, parts: Sequence[Task], generated: Sequence[Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        losses_of_parts, logs = [], []
        with self.toggled_optimizer(optimizer):
            optimizer.zero_grad()
            for part, made in zip(parts, generated, strict=True):
                loss, scalars = self.discriminator_loss(part, made)
                self.manual_backward(loss / len(parts))
                losses_of_parts.append(loss.detach())
                logs.append(scalars)
            optimizer.step()
        return torch.stack(losses_of_parts).mean(), _mean(logs)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip each optimiser's gradients by its own norm, after any unscaling."""
        norms = (self.config.generator_clip, self.config.discriminator_clip)
        index = next(i for i, own in enumerate(self.trainer.optimizers) if own is optimizer)
        self.clip_gradients(optimizer, norms[index], "norm")

    @torch.no_grad()
    def parts(self, batch: HEFBatch) -> Sequence[Task]:
        """The batch in `micro_batches` equal parts, each drawn and augmented."""
        count = self.config.micro_batches
        if len(batch) % count:
            raise UserError(f"hef.micro_batches: {count} does not divide a batch of {len(batch)}; batch_size= must fit")
        chunks = [getattr(batch, field.name).chunk(count) for field in dataclasses.fields(batch)]
        return [self._augmented(type(batch)(*values)) for values in zip(*chunks, strict=True)]

    def _augmented(self, frames: HEFBatch) -> Task:
        config = self.config.augment
        frames, chosen = displaced(frames, config)
        task = self.task(frames)
        return task if chosen is None else augmented(task, chosen, config)

    @torch.no_grad()
    def task(self, frames: HEFBatch, plain: bool = False) -> Task:
        """Draw a batch and find its emotion codes; `plain` takes the plainest prompt of each style."""
        source = frames.source_coefficients, frames.source_placement
        target = frames.target_coefficients, frames.target_placement
        drawn, needed = self.renderer(*target), self.config.knows_motion or self.config.augment.share > 0
        return Task(
            frames=frames,
            source=self.geometry(*source),
            target=torch.cat([drawn.image, drawn.mask], dim=1),
            motion=self.motion(*source, *target) if needed else None,
            keypoints=drawn.keypoints,
            region=losses.region_map(drawn.keypoints, self.config.resolution),
            code=plain_codes(self.encoder, frames) if plain else self.training_codes(frames),
        )

    def training_codes(self, frames: HEFBatch) -> EmotionCode:
        """Codes of random prompts; in shares of the batches of the target frames themselves, or of their voices."""
        config, voice = self.config, None
        if isinstance(frames, HEFSoundBatch):
            voice = frames.voice, frames.voice_mask
        elif config.voice_codes > 0:
            raise UserError("hef.voice_codes > 0 needs batches with audio: MEADDataModule(..., sound=True)")
        shares: dict[Modality, float] = {"image": config.image_codes, "audio": config.voice_codes}
        slider = config.slider_share
        return batch_codes(self.encoder, frames, frames.target, voice, shares=shares, slider_share=slider)

    @torch.no_grad()
    def geometry(
        self, coefficients: Float[Tensor, "b 257"], placement: Float[Tensor, "b 3"]
    ) -> Float[Tensor, "b 4 r r"]:
        """Render [-1, 1] and mask {0, 1} of a face: the generator's input from the 3DMM."""
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
        """The 3DMM's own flow in normalised units, and its mask."""
        flow, seen = self.renderer.motion(source_coefficients, source_placement, coefficients, placement)
        return torch.cat([flow * seen, seen], dim=1)

    @property
    def objective(self) -> GeneratorObjective:
        """The generator's losses with the frozen networks that they have now."""
        critics = self.perceptual, self.identity_critic, self.emotion_critic
        return GeneratorObjective(self.config, *critics, extra=self.extra_losses)

    def generator_loss(self, part: Task) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """Weighted sum of the generator's losses."""
        source = self.generator.encode_source(part.frames.source, part.source)
        made = self.generator.drive(source, part.target, part.motion, part.code.vector, part.code.token)
        judged = self.discriminator(made.image, part.target, part.code.vector, part.keypoints)
        adversarial = losses.generator_adversarial_loss(judged, self.config.gan)
        similarity = self.objective.similarity(made, part)
        terms = {**similarity, "adversarial": adversarial}
        if self.config.weights.temporal > 0:
            terms["temporal"] = losses.temporal_loss(made.image, part.frames.target, self.config.successive)
        if self.config.weights.sync > 0:
            terms["sync"] = self.sync_loss(made.image, part)
        total = self.objective.total(terms, self.current_batch)
        return total, made.image, {**terms, "generator": total}

    def sync_loss(self, generated: Float[Tensor, "b 3 r r"], part: Task) -> Float[Tensor, ""]:
        """Distance of the windows with which a part begins from their audio."""
        frames, length = part.frames, FRAMES_PER_WINDOW
        if not isinstance(frames, HEFSoundBatch):
            raise UserError(
                "hef.weights.sync > 0 needs windows with audio: MEADDataModule(..., successive=5, sound=True)"
            )
        windows = slice(0, len(frames) // length * length)
        images, landmarks = (one[windows].unflatten(0, (-1, length)) for one in (generated, part.keypoints))
        sound, heard = (one[windows][::length] for one in (frames.sound, frames.window))
        return lip_sync_loss(self.sync_expert, sound, images, landmarks, heard)

    def discriminator_loss(self, part: Task, generated: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """GAN loss, and each `penalty_every` batches the gradient penalty at real frames."""
        every = self.config.penalty_every
        penalised = self.current_batch % every == 0
        real = part.frames.target.detach().clone().requires_grad_(penalised)
        known = part.target, part.code.vector, part.keypoints
        judged, judged_generated = self.discriminator(real, *known), self.discriminator(generated, *known)
        loss = losses.discriminator_adversarial_loss(judged, judged_generated, self.config.gan)
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
        """Encode a portrait, once for all its frames.

        Args:
            image: the portrait, RGB in [-1, 1].
            coefficients: its 3DMM vector.
            placement: (scale, x, y) of the camera frame inside the crop, in normalised units.

        Returns:
            What `drive` needs.
        """
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
        """Draw frames of an encoded portrait.

        Args:
            portrait: one portrait, or one for each frame.
            coefficients: 3DMM vectors that the frames are to show.
            placement: (scale, x, y) of the camera frame inside the crop, in normalised units.
            code: the emotion of each frame.

        Returns:
            The frames in [-1, 1] with the flows that made them.
        """
        if len(portrait.coefficients) != len(coefficients):
            portrait = portrait.expand(len(coefficients))
        geometry, motion = self.geometry(coefficients, placement), None
        if self.config.knows_motion:
            motion = self.motion(portrait.coefficients, portrait.placement, coefficients, placement)
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
        """Frames from a portrait: `encode_source`, then `drive`.

        Args:
            source: one portrait for all frames, or one for each; RGB in [-1, 1].
            source_coefficients: 3DMM vector of each portrait.
            source_placement: (scale, x, y) of each portrait's camera frame inside the crop, in normalised units.
            drive_coefficients: 3DMM vectors that the frames are to show.
            drive_placement: likewise their camera frames.
            code: the emotion of each frame.

        Returns:
            Frames in [-1, 1].
        """
        encoded = self.encode_source(source, source_coefficients, source_placement)
        return self.drive(encoded, drive_coefficients, drive_placement, code).image

    @property
    def _network(self) -> Generator:
        network = self.average.network
        assert isinstance(network, Generator)
        return network

    def reenact(self, task: Task) -> Animation:
        """The averaged generator's frames for a drawn batch."""
        code, source = task.code, task.frames.source
        return self._network(source, task.source, task.target, task.motion, code.vector, code.token)

    def evaluate_batch(self, batch: HEFBatch, loader: int, phase: Phase) -> dict[str, Tensor]:
        """Each frame's metrics: PSNR, L1 and the flow's endpoint error, beside those of copying the source."""
        task = self.task(batch, plain=True)
        made = self.reenact(task)
        flow = resize(made.flows.flows[-1], self.config.resolution)
        source, target = batch.true_coefficients
        true = self.motion(source, batch.source_placement, target, batch.target_placement)
        row = score(batch, Reenactment(made.image, flow, true[:, :2], true[:, 2:]))
        return row | {"loss": self.similarity_loss(made, task)[None]} if phase == "val" else row

    def similarity_loss(self, made: Animation, task: Task) -> Float[Tensor, ""]:
        """The generator's loss after the warm-up without its adversarial part: what validation compares over time."""
        return self.objective.total(self.objective.similarity(made, task), self.config.warmup_steps)

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Means over all frames."""
        return mean_scores(rows[0])

    @without_gradients
    def samples(self, batch: HEFBatch) -> dict[str, Tensor]:
        """Source, render of the wanted face, output and truth of a batch."""
        task = self.task(batch, plain=True)
        output = self.reenact(task).image.clamp(-1, 1)
        return {"source": batch.source, "render": task.target[:, :3], "output": output, "truth": batch.target}

    def parents(self) -> dict[str, Recipe]:
        """As the base's; the perceptual network only where no fixed seed defines it."""
        defined = isinstance(self.perceptual, RandomFeatures)
        return {name: recipe for name, recipe in super().parents().items() if name != "perceptual" or not defined}


def _mean(logs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([log[name].detach() for log in logs]).mean() for name in logs[0]}
