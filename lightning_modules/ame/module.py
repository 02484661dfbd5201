"""AME: trains the adapters, the audio encoder and the intensity head on pictures and voices of MEAD's 22 styles."""

import math
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from datamodules.batches import AMEBatch
from lightning_modules.ame.augment import augment_mel, image_augmentation
from lightning_modules.ame.conditioning import random_prompts
from lightning_modules.ame.config import AMEConfig
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.ame.evaluation import evaluate_space
from lightning_modules.ame.intensity import null_loss, ordinal_level, ordinal_loss
from lightning_modules.ame.losses import contrastive_loss, logit_scale, negative_weights, positives
from lightning_modules.ame.prompts import prompts
from lightning_modules.ame.space import build_space
from lightning_modules.standins.priors.parts import ClipParts, GPT2Parts
from lightning_modules.training.single import adamw_with_cosine
from lightning_modules.training.stage import StageModule

INITIAL_SCALE = 1 / 0.07
"""CLIP's initial inverse temperature."""

SCALE_RATE = 10.0
"""How many times faster than the other weights the temperature learns."""


class AMEModule(StageModule):
    """Optimisation of an `EmotionSpace`; `encoder` is what EAC and HEF receive."""

    def __init__(self, config: AMEConfig, clip: ClipParts | None = None, gpt2: GPT2Parts | None = None) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_space(config, clip, gpt2)
        self.log_scale = nn.Parameter(torch.tensor(math.log(INITIAL_SCALE) / SCALE_RATE))
        self.augment_images = image_augmentation(config.augment)

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The learned inverse temperature, at most 100."""
        return logit_scale(SCALE_RATE * self.log_scale)

    def codes(self, batch: AMEBatch) -> dict[str, EmotionCode]:
        """Codes of the batch by every modality that the space has, from augmented inputs and random prompts."""
        codes = {"text": self.encoder.encode_text(random_prompts(batch))}
        if "image" in self.encoder.modalities:
            images = self.augment_images((batch.image + 1) / 2) * 2 - 1
            codes["image"] = self.encoder.encode_image(images)
        mel = augment_mel(batch.mel, batch.mel_mask, self.config.augment)
        codes["audio"] = self.encoder.encode_audio(mel, batch.mel_mask)
        return codes

    def contrastive_losses(self, batch: AMEBatch, codes: dict[str, EmotionCode]) -> dict[str, Tensor]:
        """Label-aware InfoNCE of each pair of modalities, named `text_audio` and so on."""
        positive = positives(batch.style)
        weights = negative_weights(batch.emotion, batch.level, self.config.softness)
        scale = self.scale
        return {
            "_".join(sorted(pair, key=_ORDER.index)): contrastive_loss(
                codes[pair[0]].vector, codes[pair[1]].vector, scale, positive, weights
            )
            for pair in combinations(codes, 2)
        }

    def intensity_losses(self, batch: AMEBatch, codes: dict[str, EmotionCode]) -> dict[str, Tensor]:
        """Ordinal loss, mean over modalities, and the null point of unrelated prompts where the text knows them."""
        head = self.encoder.intensity
        level = ordinal_level(batch.emotion, batch.level)
        ordinal = [ordinal_loss(head.score(code.token), head.thresholds, level) for code in codes.values()]
        losses = {"intensity": torch.stack(ordinal).mean()}
        if self.encoder.text.open_vocabulary:
            losses["null"] = null_loss(self.encoder.encode_text(self._unrelated()).token)
        return losses

    def _unrelated(self) -> list[str]:
        sentences = prompts().unrelated
        chosen = torch.randint(len(sentences), (self.config.unrelated_prompts,))
        return [sentences[index] for index in chosen.tolist()]

    def losses(self, batch: AMEBatch) -> dict[str, Float[Tensor, ""]]:
        """Unweighted losses by the names of `AMEWeights`."""
        codes = self.codes(batch)
        return {**self.contrastive_losses(batch, codes), **self.intensity_losses(batch, codes)}

    def training_step(self, batch: AMEBatch, batch_idx: int) -> Tensor:
        """Weighted sum of the losses."""
        losses = self.losses(batch)
        total = torch.stack([getattr(self.config.weights, name) * loss for name, loss in losses.items()]).sum()
        self.log_scalars({"loss": total, "logit_scale": self.scale, **losses})
        return total

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over what is trained, with a cosine schedule."""
        return adamw_with_cosine(self, self.config)

    def evaluate(self, data: Any) -> dict[str, float]:
        """Retrieval, zero-shot, intensity, alignment and gap on the test clips of `data`."""
        self.eval()
        return evaluate_space(self.encoder, data, self.config.evaluation_frames, self.device)


_ORDER = ("text", "audio", "image")
