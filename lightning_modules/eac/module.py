"""EAC: trains the expression network on speech, emotion and measured coefficients."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from conventions.errors import UserError
from datamodules.batches import EACBatch, EACSoundBatch
from datamodules.mead import ClipItem
from datamodules.moments import Moments
from face3d.coefficients import EXPRESSION, IDENTITY, with_expression
from face3d.renderer import Renderer
from lightning_modules.ame.conditioning import batch_codes, even_shares
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, RefusedStyle
from lightning_modules.ame.prompts import style_prompt
from lightning_modules.eac.config import EACConfig
from lightning_modules.eac.evaluation import (
    Readout,
    data_readout,
    expression_metrics,
    mean_metrics,
    model_readout,
    part_readouts,
    pose_metrics,
    silence_metrics,
    silent_speech,
    slider_metrics,
)
from lightning_modules.eac.losses import (
    coefficient_loss,
    emotion_loss,
    mouth_basis,
    mouth_loss,
    opening_loss,
    pose_loss,
    pose_of,
    random_frames,
    velocity_loss,
    with_mean_share,
)
from lightning_modules.eac.network import ExpressionNetwork, floored, predict_long
from lightning_modules.training.configs import as_config, load_losses
from lightning_modules.training.lip_sync import prediction_loss
from lightning_modules.training.optimisers import adamw_with_cosine
from lightning_modules.training.stage import Phase, Rows, StageModule, without_gradients

SAMPLE_FRAMES = 25
"""Frames of a clip that `samples` draws."""


class EACModule(StageModule):
    """Trains an `ExpressionNetwork`.

    Args:
        config: settings of EAC, or the plain mapping of a checkpoint.
        encoder: makes the emotion codes; frozen here.
        renderer: its face model serves the mouth losses, its images L_emo and the lip-sync loss; None where none of
            them has a weight.
        emotion_critic: network of L_emo with `features(images [n, 3, s, s], landmarks [n, 68, 2]) -> [n, d]`; None
            where L_emo has no weight.
        sync_expert: network of the lip-sync loss (see `lightning_modules.training.lip_sync`); None where it has no
            weight.

    Raises:
        UserError: a loss has a weight, but its renderer or critic is missing.
    """

    config: EACConfig
    encoder: EmotionEncoder
    renderer: Renderer | None
    emotion_critic: nn.Module | None
    sync_expert: nn.Module | None
    basis: Tensor | None

    def __init__(
        self,
        config: EACConfig | Mapping[str, Any],
        encoder: EmotionEncoder,
        renderer: Renderer | None = None,
        emotion_critic: nn.Module | None = None,
        sync_expert: nn.Module | None = None,
    ) -> None:
        config = as_config(EACConfig, config)
        super().__init__(config)
        for name in ("mouth", "opening", "emotion", "sync"):
            if getattr(config.weights, name) > 0 and renderer is None:
                raise UserError(f"eac.weights.{name} > 0 needs renderer=, a face3d.renderer.Renderer")
        if config.weights.emotion > 0 and emotion_critic is None:
            raise UserError("eac.weights.emotion > 0 needs emotion_critic=, a network with features(images, landmarks)")
        if config.weights.sync > 0 and sync_expert is None:
            raise UserError("eac.weights.sync > 0 needs sync_expert=, a network with audio(mfcc) and video(frames)")
        self.network = ExpressionNetwork(config.backbone, config.speech, config.dropout, config.pose)
        self.extra_losses = load_losses(config.extra_losses)
        self.add_frozen("encoder", encoder)
        self.add_frozen("renderer", renderer)
        self.add_frozen("emotion_critic", emotion_critic)
        self.add_frozen("sync_expert", sync_expert)
        basis = mouth_basis(renderer.model) if renderer is not None else None
        self.register_buffer("basis", basis, persistent=False)
        self._parts: dict[str, Readout] = {}
        self._true_scale: Moments | None = None

    def on_fit_start(self) -> None:
        """Standardise by the moments of the training data, unless the weights carry some."""
        super().on_fit_start()
        self._check_speech()
        sound, expression = self.network.sound_statistics, self.network.expression_statistics
        if sound.known and expression.known:
            return
        if not hasattr(self.data, "statistics"):
            raise UserError(
                "EAC needs the moments of its training data: fit with datamodule=, a MEADDataModule, "
                "or call network.sound_statistics.set and network.expression_statistics.set before"
            )
        found = self.data.statistics()
        sound.set(found.sound.mean, found.sound.deviation)
        expression.set(found.expression.mean, found.expression.deviation)

    def _check_speech(self) -> None:
        """The data give the feature for which the network was built."""
        own = self.config.speech
        given = getattr(self.data, "speech_form", own)
        if given != own:
            raise UserError(
                f"EAC is built for the speech feature {own.name!r} {list(own.shape)}, the data hold {given.name!r} "
                f"{list(given.shape)}: build it with EACConfig(speech=data.speech_form)"
            )

    def predict(
        self,
        speech: Float[Tensor, "b t *feature"],
        mask: Bool[Tensor, "b t"],
        code: EmotionCode,
        identity: Float[Tensor, "b 80"],
    ) -> Float[Tensor, "b t 64"]:
        """Expression coefficients of a batch of speeches.

        Args:
            speech: the speech feature of each video frame (25 fps), as `config.speech` describes it.
            mask: True for frames of the speech, False for padding.
            code: one emotion for each speech.
            identity: identity coefficients of the face.

        Returns:
            Expression coefficients; those of padding have no meaning.
        """
        return self.network(speech, mask, code, identity)

    def predict_speech(
        self, speech: Float[Tensor, "t *feature"], code: EmotionCode, identity: Float[Tensor, "1 80"]
    ) -> Float[Tensor, "t 64"]:
        """Expression coefficients of one speech of any length, in bounded memory.

        Args:
            speech: the speech feature of each video frame (25 fps), as `config.speech` describes it.
            code: one emotion.
            identity: identity coefficients of the face.

        Returns:
            Expression coefficients of each frame.
        """
        return predict_long(self.network, speech, code, identity)

    def predict_head(
        self,
        speech: Float[Tensor, "t *feature"],
        code: EmotionCode,
        source: Float[Tensor, "1 257"],
    ) -> Float[Tensor, "t 6"]:
        """Angles (rad) and translations (decimetres) of a head that starts as the source's; needs `eac.pose`."""
        mask = speech.new_ones(1, len(speech), dtype=torch.bool)
        pose = self.network.with_pose(speech[None], mask, code, source[:, IDENTITY])[1][0]
        return (pose_of(source) + pose - pose[:1]) / 10

    def losses(self, batch: EACBatch, predicted: Float[Tensor, "b t 64"]) -> dict[str, Float[Tensor, ""]]:
        """Unweighted losses of a prediction.

        Args:
            batch: speech with the coefficients of its video.
            predicted: expression coefficients for it.

        Returns:
            Losses by the names of `EACWeights`, without those of weight 0.
        """
        true, mask = batch.coefficients[..., EXPRESSION], batch.mask
        moved = with_mean_share(predicted, true, mask, self.config.mean_share)
        deviation, weights = self.network.expression_statistics.deviation, self.config.weights
        losses = {
            "coefficients": coefficient_loss(moved, true, mask, deviation),
            "velocity": velocity_loss(predicted, true, mask, deviation),
        }
        if weights.mouth > 0 and self.basis is not None:
            losses["mouth"] = mouth_loss(moved, true, mask, self.basis)
        if weights.opening > 0 and self.basis is not None:
            losses["opening"] = opening_loss(predicted, true, mask, self.basis)
        if weights.emotion > 0:
            losses["emotion"] = self.emotion_loss(batch, predicted)
        if weights.sync > 0:
            losses["sync"] = self.sync_loss(batch, predicted)
        return losses | {name: loss(predicted, batch) for name, (loss, _) in self.extra_losses.items()}

    def total(self, losses: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Weighted sum of losses.

        Args:
            losses: unweighted losses by name.

        Returns:
            Their sum with the weights of the config.
        """
        own = {name: weight for name, (_, weight) in self.extra_losses.items()}
        weights = {**vars(self.config.weights), **own}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def emotion_loss(self, batch: EACBatch, predicted: Float[Tensor, "b t 64"]) -> Float[Tensor, ""]:
        """L_emo on a few frames: the rendered prediction, in the measured pose and light, against the target.

        The target is the frame itself, or with `emotion_target` render the render of the measured coefficients.
        """
        clips, photo = min(self.config.emotion_clips, len(predicted)), self.config.emotion_target == "photo"
        mask = batch.mask[:clips]
        frames = batch.shown[:clips, None] if photo else random_frames(mask, self.config.emotion_frames)
        rows = torch.arange(clips, device=frames.device)[:, None]
        true = batch.coefficients[rows, frames].flatten(0, 1)
        placement = batch.placement[rows, frames].flatten(0, 1)
        made = with_expression(true, predicted[rows, frames].flatten(0, 1))
        with torch.no_grad():
            target = self._emotion_features(true, placement, batch.image[:clips] if photo else None)
        return emotion_loss(self._emotion_features(made, placement), target)

    def sync_loss(self, batch: EACBatch, predicted: Float[Tensor, "b t 64"]) -> Float[Tensor, ""]:
        """Distance of the rendered prediction from its audio on a window of a few clips."""
        assert self.renderer is not None
        assert self.sync_expert is not None
        if not isinstance(batch, EACSoundBatch):
            raise UserError("eac.weights.sync > 0 needs batches with audio: MEADDataModule(..., sound=True)")
        return prediction_loss(self.sync_expert, self.renderer, batch, predicted, self.config.sync_clips)

    def _emotion_features(self, coefficients: Tensor, placement: Tensor, photo: Tensor | None = None) -> Tensor:
        """Of the render of coefficients, or of a photo with their landmarks."""
        assert self.renderer is not None
        assert self.emotion_critic is not None
        if photo is None:
            drawn = self.renderer(coefficients, placement)
            image, points = drawn.image, drawn.keypoints
        else:
            image, points = photo, self.renderer.keypoints(coefficients, placement)
        return self.emotion_critic.features(image, points)  # pyright: ignore[reportCallIssue]

    def training_step(self, batch: EACBatch, batch_idx: int) -> Tensor:
        """Weighted sum of the losses."""
        numbers = self.config
        code = batch_codes(
            self.encoder,
            batch,
            batch.image,
            (batch.voice, batch.voice_mask),
            shares=even_shares(self.encoder, numbers.other_modalities),
            slider_share=numbers.slider_share,
        )
        known = batch.speech, batch.mask, code, batch.coefficients[:, 0, IDENTITY]
        if numbers.pose:
            predicted, pose = self.network.with_pose(*known)
            losses = {**self.losses(batch, predicted), "pose": pose_loss(pose, pose_of(batch.coefficients), batch.mask)}
        else:
            losses = self.losses(batch, self.predict(*known))
        total = self.total(losses)
        self.log_scalars({"loss": total, **losses})
        return total

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over what is trained, with a cosine schedule."""
        return adamw_with_cosine(self, self.config)

    def on_validation_epoch_start(self) -> None:
        """Find how parts of the face are read off coefficients."""
        super().on_validation_epoch_start()
        self._find_parts()

    def on_test_epoch_start(self) -> None:
        """Find how parts of the face are read off coefficients, and the scale of the exact coefficients."""
        super().on_test_epoch_start()
        self._find_parts()
        if hasattr(self.data, "statistics"):
            true = self.data.statistics().true_expression
            self._true_scale = Moments(true.mean.to(self.device), floored(true.deviation.to(self.device)))

    @without_gradients
    def _find_parts(self) -> None:
        """By the face model's landmarks; without it the mouth alone, by a readout fitted to training clips, or none."""
        if self._parts:
            return
        if self.basis is not None and self.renderer is not None:
            self._parts = {"mouth": model_readout(self.basis), **part_readouts(self.renderer.model)}
        elif hasattr(self.data, "train_clips"):
            mouth = data_readout(self.data, self.data.train_clips(), self.device)
            self._parts = {} if mouth is None else {"mouth": mouth}

    def clip_code(self, item: ClipItem) -> EmotionCode:
        """The plainest text code of a clip's style; RefusedStyle where the encoder cannot express it."""
        return self.encoder.encode_text([style_prompt(item.emotion or "neutral", item.level or 1, 0)])

    def evaluate_batch(self, batch: ClipItem, loader: int, phase: Phase) -> dict[str, float] | None:
        """Metrics of a whole clip with text as the condition; None where the encoder refuses its style.

        Tests compare with the exact coefficients where the store has them, on their scale; validation compares with
        what training sees.
        """
        try:
            code = self.clip_code(batch)
        except RefusedStyle:
            return None
        own = self.network.expression_statistics
        true, scale = batch.coefficients[:, EXPRESSION], Moments(own.mean, own.deviation)
        if phase == "test":
            true, scale = batch.exact[:, EXPRESSION], self._true_scale or scale
        identity = batch.coefficients[:1, IDENTITY]
        predicted = self.predict_speech(batch.speech, code, identity)
        row = expression_metrics(predicted, true, scale, self._parts)
        if loader == 0 and batch.emotion not in (None, "neutral"):
            row |= slider_metrics(
                lambda code: self.predict_speech(batch.speech, code, identity),
                self.encoder,
                batch.emotion,
                batch.level or 1,
                true,
                scale.deviation,
            )
        silence = silent_speech(self.config.speech, len(true), true.device)
        if loader == 0 and silence is not None and self.basis is not None:
            row |= silence_metrics(predicted, self.predict_speech(silence, code, identity), self.basis)
        if self.config.pose:
            row |= pose_metrics(
                self.predict_head(batch.speech, code, batch.coefficients[:1]), pose_of(batch.exact) / 10
            )
        if phase == "val":
            row["loss"] = self.total(self.losses(batch.as_batch(), predicted[None])).item()
        return row

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Means over the basic clips with those of the level slider, and under `unseen/` the unseen styles' with the
        share refused; `refused` of the basic clips only where there are some.
        """
        result: dict[str, float] = {}
        for loader, prefix in ((0, ""), (1, "unseen/")):
            scored = [row for row in rows.get(loader, []) if row is not None]
            refused = len(rows.get(loader, [])) - len(scored)
            if refused or (loader and scored):
                result[f"{prefix}refused"] = refused / (len(scored) + refused)
            result |= {f"{prefix}{name}": value for name, value in mean_metrics(scored).items()}
        return result

    @without_gradients
    def samples(self, batch: ClipItem) -> dict[str, Tensor] | None:
        """Renders of the predicted and of the true face on the clip's first frames; None without a renderer."""
        if self.renderer is None:
            return None
        speech = batch.speech[: SAMPLE_FRAMES + self.network.look_ahead]
        expression = self.predict_speech(speech, self.clip_code(batch), batch.coefficients[:1, IDENTITY])
        true, placement = batch.exact[:SAMPLE_FRAMES], batch.placement[:SAMPLE_FRAMES]
        made = with_expression(true, expression[: len(true)])
        return {"prediction": self.renderer(made, placement).image, "truth": self.renderer(true, placement).image}

    def upgrade_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """As the base's; earlier formats kept count, sum and squares of what was seen in training."""
        state = dict(state)
        for name in ("network.sound_statistics", "network.expression_statistics"):
            if (count := state.pop(f"{name}.count", None)) is not None:
                total, squares = (state.pop(f"{name}.{part}") / count.clamp(min=1) for part in ("total", "squares"))
                deviation = (squares - total.square()).clamp(min=0).sqrt().float()
                state[f"{name}.mean"] = total.float()
                state[f"{name}.deviation"] = floored(deviation) if count > 0 else torch.ones_like(deviation)
                state[f"{name}.known"] = (count > 0).long()
        return state
