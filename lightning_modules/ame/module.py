"""AME: trains the adapters, the audio encoder and the intensity head on pictures and voices of MEAD's 22 styles."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float, Int
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from datamodules.batches import AMEBatch
from datamodules.mead import ClipItem
from datamodules.speech_names import VOICE
from lightning_modules.ame.augment import augment_mel, image_augmentation
from lightning_modules.ame.conditioning import plain_codes, random_prompts
from lightning_modules.ame.config import AMEConfig
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.ame.evaluation import item_vectors, stack, style_items, style_metrics, unseen_metrics
from lightning_modules.ame.intensity import null_loss, ordinal_level, ordinal_loss
from lightning_modules.ame.losses import contrastive_loss, logit_scale, negative_weights, positives
from lightning_modules.ame.prompts import prompts
from lightning_modules.ame.space import build_space
from lightning_modules.standins.priors.parts import ClipParts, GPT2Parts
from lightning_modules.training.configs import as_config
from lightning_modules.training.optimisers import adamw_with_cosine
from lightning_modules.training.parents import Recipe
from lightning_modules.training.stage import Phase, Rows, StageModule

INITIAL_SCALE = 1 / 0.07
"""CLIP's initial inverse temperature."""

SCALE_RATE = 10.0
"""How many times faster than the other weights the temperature learns."""


@dataclass(frozen=True)
class EmbeddedClip:
    """A test clip's labels and its vectors by modality."""

    emotion: str
    level: int
    style: int
    vectors: dict[str, Tensor]


@dataclass(frozen=True)
class StyleLabels:
    """Labels of clips, as an `AMEBatch` has them."""

    emotion: Int[Tensor, " b"]
    level: Int[Tensor, " b"]
    style: Int[Tensor, " b"]


class AMEModule(StageModule):
    """Optimisation of an `EmotionSpace`; `encoder` is what EAC and HEF receive."""

    config: AMEConfig

    def __init__(
        self, config: AMEConfig | Mapping[str, Any], clip: ClipParts | None = None, gpt2: GPT2Parts | None = None
    ) -> None:
        config = as_config(AMEConfig, config)
        super().__init__(config)
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
        codes["audio"] = self.encoder.encode_audio(self._augmented_voice(batch), batch.voice_mask)
        return codes

    def _augmented_voice(self, batch: AMEBatch) -> Float[Tensor, "b t d"]:
        """Mels are augmented; a frozen encoder's features are taken as they are."""
        is_mel = self.encoder.voice == VOICE
        return augment_mel(batch.voice, batch.voice_mask, self.config.augment) if is_mel else batch.voice

    def contrastive_losses(self, batch: AMEBatch | StyleLabels, codes: dict[str, EmotionCode]) -> dict[str, Tensor]:
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

    def intensity_losses(self, batch: AMEBatch | StyleLabels, codes: dict[str, EmotionCode]) -> dict[str, Tensor]:
        """Ordinal loss, mean over modalities; for open vocabularies also the null point of unrelated prompts."""
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

    def losses(self, batch: AMEBatch | StyleLabels, codes: dict[str, EmotionCode]) -> dict[str, Float[Tensor, ""]]:
        """Unweighted losses of a batch's codes by the names of `AMEWeights`."""
        return {**self.contrastive_losses(batch, codes), **self.intensity_losses(batch, codes)}

    def total(self, losses: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Weighted sum of the losses."""
        return torch.stack([getattr(self.config.weights, name) * loss for name, loss in losses.items()]).sum()

    def on_fit_start(self) -> None:
        """Set the origin of the picture directions from training pictures."""
        super().on_fit_start()
        image = self.encoder.image
        if image is None or image.origin_set:
            return
        if not hasattr(self.data, "pictures"):
            raise UserError(
                "AME needs the mean of its training pictures: fit with datamodule=, a MEADDataModule, "
                "or call encoder.image.set_origin(pictures) before"
            )
        image.set_origin(self.data.pictures())

    def training_step(self, batch: AMEBatch, batch_idx: int) -> Tensor:
        """Weighted sum of the losses."""
        losses = self.losses(batch, self.codes(batch))
        total = self.total(losses)
        self.log_scalars({"loss": total, "logit_scale": self.scale, **losses})
        return total

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW over what is trained, with a cosine schedule."""
        return adamw_with_cosine(self, self.config)

    def parents(self) -> dict[str, Recipe]:
        """Recipes of the stand-in towers."""
        return self.encoder.standins()

    def upgrade_state(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """As the base's; earlier formats kept the sum and the count of the training pictures' vectors."""
        state = dict(state)
        count = state.pop("encoder.image.count", None)
        if count is not None:
            state["encoder.image.origin"] = (state.pop("encoder.image.total") / count.clamp(min=1)).float()
            state["encoder.image.origin_set"] = (count > 0).long()
        return state

    def evaluate_batch(self, batch: ClipItem, loader: int, phase: Phase) -> EmbeddedClip | None:
        """The clip's labels and vectors; None for one without label, or in loader 0 of none of MEAD's styles."""
        if batch.emotion is None or (loader == 0 and batch.style < 0):
            return None
        vectors = item_vectors(self.encoder, batch, self.config.evaluation_frames)
        return EmbeddedClip(batch.emotion, batch.level or 0, batch.style, vectors)

    def summary(self, rows: Rows, phase: Phase) -> dict[str, float]:
        """Metrics of the basic styles, then of the unseen ones where the data has them.

        A text encoding that cannot name every unseen style (one-hot) has no zero-shot accuracy.
        """
        basic, unseen = ([row for row in rows.get(loader, []) if row is not None] for loader in (0, 1))
        result: dict[str, float] = {}
        if basic:
            vectors = stack([clip.vectors for clip in basic])
            result |= style_metrics(self.encoder, style_items(self.encoder, basic, vectors))
            if phase == "val":
                result["loss"] = self.clip_loss(basic, vectors).item()
        if unseen and self.encoder.text.open_vocabulary:
            names = [clip.emotion for clip in unseen]
            result |= unseen_metrics(self.encoder, stack([clip.vectors for clip in unseen]), names)
        return result

    def clip_loss(self, clips: Sequence[EmbeddedClip], vectors: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """The training loss of whole clips' vectors, with the plainest prompt of each clip's style as text."""
        columns = [(EMOTIONS.index(clip.emotion), clip.level, clip.style) for clip in clips]
        labels = StyleLabels(*torch.tensor(columns, device=self.device).T)
        codes = {"text": plain_codes(self.encoder, labels)}
        codes |= {name: self.encoder.code(rows) for name, rows in vectors.items()}
        return self.total(self.losses(labels, codes))


_ORDER = ("text", "audio", "image")
