"""EAC: trains the expression network on speech, emotion and measured coefficients."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from datamodules.batches import EACBatch
from face3d.coefficients import EXPRESSION, IDENTITY, with_expression
from face3d.renderer import Renderer
from lightning_modules.ame.conditioning import batch_codes
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.eac.config import EACConfig
from lightning_modules.eac.evaluation import evaluate_expression
from lightning_modules.eac.losses import (
    coefficient_loss,
    emotion_loss,
    mouth_basis,
    mouth_loss,
    random_frames,
    velocity_loss,
)
from lightning_modules.eac.network import ExpressionNetwork
from lightning_modules.eac.streaming import predict_long
from lightning_modules.training.single import adamw_with_cosine
from lightning_modules.training.stage import StageModule


class EACModule(StageModule):
    """Optimisation of an `ExpressionNetwork`.

    `renderer` gives the face model of the mouth loss and draws for L_emo; `emotion_critic` has
    `features(images [n, 3, s, s]) -> [n, d]`. Either may be absent where no weight asks for it.
    """

    encoder: EmotionEncoder
    renderer: Renderer | None
    emotion_critic: nn.Module | None
    basis: Tensor | None

    def __init__(
        self,
        config: EACConfig,
        encoder: EmotionEncoder,
        renderer: Renderer | None = None,
        emotion_critic: nn.Module | None = None,
    ) -> None:
        super().__init__()
        assert renderer is not None or config.weights.mouth == config.weights.emotion == 0, "these losses need a face"
        assert emotion_critic is not None or config.weights.emotion == 0, "L_emo needs an emotion network"
        self.config = config
        self.network = ExpressionNetwork(config.backbone)
        self.add_frozen("encoder", encoder)
        self.add_frozen("renderer", renderer)
        self.add_frozen("emotion_critic", emotion_critic)
        basis = mouth_basis(renderer.model) if renderer is not None else None
        self.register_buffer("basis", basis, persistent=False)

    def predict(
        self,
        mfcc: Float[Tensor, "b t 28 13"],
        mask: Bool[Tensor, "b t"],
        code: EmotionCode,
        identity: Float[Tensor, "b 80"],
    ) -> Float[Tensor, "b t 64"]:
        """Expression coefficients; what the mask hides is undefined."""
        return self.network(mfcc, mask, code, identity)

    def predict_speech(
        self, mfcc: Float[Tensor, "t 28 13"], code: EmotionCode, identity: Float[Tensor, "1 80"]
    ) -> Float[Tensor, "t 64"]:
        """Expression of one speech of any length, in bounded memory."""
        return predict_long(self.network, mfcc, code, identity)

    def losses(self, batch: EACBatch, predicted: Float[Tensor, "b t 64"]) -> dict[str, Float[Tensor, ""]]:
        """Unweighted losses by the names of `EACWeights`; those of weight 0 are left out."""
        true, mask = batch.coefficients[..., EXPRESSION], batch.mask
        deviation, weights = self.network.expression_statistics.deviation, self.config.weights
        losses = {
            "coefficients": coefficient_loss(predicted, true, mask, deviation),
            "velocity": velocity_loss(predicted, true, mask, deviation),
        }
        if weights.mouth > 0 and self.basis is not None:
            losses["mouth"] = mouth_loss(predicted, true, mask, self.basis)
        if weights.emotion > 0:
            losses["emotion"] = self.emotion_loss(batch, predicted)
        return losses

    def emotion_loss(self, batch: EACBatch, predicted: Float[Tensor, "b t 64"]) -> Float[Tensor, ""]:
        """L_emo on a few frames of a few clips: rendered prediction against rendered truth, same pose and light."""
        clips = min(self.config.emotion_clips, len(predicted))
        frames = random_frames(batch.mask[:clips], self.config.emotion_frames)
        rows = torch.arange(clips, device=frames.device)[:, None]
        true = batch.coefficients[rows, frames].flatten(0, 1)
        placement = batch.placement[rows, frames].flatten(0, 1)
        made = with_expression(true, predicted[rows, frames].flatten(0, 1))
        with torch.no_grad():
            target = self._emotion_features(true, placement)
        return emotion_loss(self._emotion_features(made, placement), target)

    def _emotion_features(self, coefficients: Tensor, placement: Tensor) -> Tensor:
        assert self.renderer is not None
        assert self.emotion_critic is not None
        return self.emotion_critic.features(self.renderer(coefficients, placement).image)  # pyright: ignore[reportCallIssue]

    def training_step(self, batch: EACBatch, batch_idx: int) -> Tensor:
        """Weighted sum of the losses."""
        self.network.sound_statistics.update(batch.mfcc[batch.mask].flatten(0, 1))
        self.network.expression_statistics.update(batch.coefficients[batch.mask][:, EXPRESSION])
        numbers = self.config
        code = batch_codes(
            self.encoder, batch, other_modalities=numbers.other_modalities, slider_share=numbers.slider_share
        )
        identity = batch.coefficients[:, 0, IDENTITY]
        losses = self.losses(batch, self.predict(batch.mfcc, batch.mask, code, identity))
        total = torch.stack([getattr(numbers.weights, name) * loss for name, loss in losses.items()]).sum()
        self.log_scalars({"loss": total, **losses})
        return total

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over what is trained, with a cosine schedule."""
        return adamw_with_cosine(self, self.config)

    def evaluate(self, data: Any) -> dict[str, float]:
        """Coefficient error and mouth opening on test clips, with text as the condition."""
        self.eval()
        return evaluate_expression(self, data)
