"""AME: trains the adapters, the audio encoder and the intensity head on images and voices of MEAD's 22 styles."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from conventions.emotions import EMOTIONS
from conventions.errors import UserError
from datamodules.batches import AMEBatch
from datamodules.config import VOICE
from datamodules.mead import ClipItem
from lightning_modules.ame.augment import augment_mel, image_augmentation
from lightning_modules.ame.conditioning import StyleLabels, plain_codes, random_prompts
from lightning_modules.ame.config import AMEConfig
from lightning_modules.ame.emotion import EmotionCode
from lightning_modules.ame.evaluation import (
    emotion_metrics,
    item_vectors,
    stack,
    style_items,
    style_metrics,
    unseen_metrics,
)
from lightning_modules.ame.intensity import is_level_known, null_loss, ordinal_level, ordinal_loss
from lightning_modules.ame.losses import contrastive_loss, logit_scale, negative_weights, positives
from lightning_modules.ame.prompts import prompts
from lightning_modules.ame.sources import ClipImage
from lightning_modules.ame.space import build_space
from lightning_modules.ame.towers import ClipParts, GPT2Parts
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


class Coded(NamedTuple):
    """Codes of those clips of a batch that one modality shows."""

    code: EmotionCode
    rows: Int[Tensor, " n"]
    """The clip of each code."""


class AMEModule(StageModule):
    """Trains an `EmotionSpace`; `encoder` is the space, which EAC and HEF receive.

    Args:
        config: settings of AME, or the plain mapping of a checkpoint.
        clip: a trained stand-in of CLIP, where the config asks for one.
        gpt2: a trained stand-in of GPT-2, where the config asks for one.
    """

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

    def codes(self, batch: AMEBatch) -> dict[str, Coded]:
        """Codes of a batch from augmented inputs and random prompts.

        Args:
            batch: images and voices with their labels.

        Returns:
            Codes by modality, for each modality that the space takes and at least two clips have.
        """
        everyone = torch.arange(len(batch), device=batch.emotion.device)
        codes = {"text": Coded(self.encoder.encode_text(random_prompts(batch)), everyone)}
        if "image" in self.encoder.modalities and len(batch.image) > 1:
            images = self.augment_images((batch.image + 1) / 2) * 2 - 1
            codes["image"] = Coded(self.encoder.encode_image(images), batch.image_rows)
        if len(batch.voice) > 1:
            code = self.encoder.encode_audio(self._augmented_voice(batch), batch.voice_mask)
            codes["audio"] = Coded(code, batch.voice_rows)
        return codes

    def _augmented_voice(self, batch: AMEBatch) -> Float[Tensor, "b t d"]:
        """Mels are augmented; a frozen encoder's features are taken as they are."""
        is_mel = self.encoder.voice == VOICE
        return augment_mel(batch.voice, batch.voice_mask, self.config.augment) if is_mel else batch.voice

    def contrastive_losses(self, batch: AMEBatch | StyleLabels, codes: dict[str, Coded]) -> dict[str, Tensor]:
        """Label-aware InfoNCE of each pair of modalities, named `text_audio` and so on; no clip needs to have both."""
        positive = positives(batch.emotion, batch.level)
        weights = negative_weights(batch.emotion, batch.level, self.config.softness)
        scale = self.scale
        losses: dict[str, Tensor] = {}
        for pair in combinations(codes, 2):
            (one, rows), (other, columns) = (codes[name] for name in pair)
            given = positive[rows][:, columns], weights[rows][:, columns]
            losses["_".join(sorted(pair, key=_ORDER.index))] = contrastive_loss(one.vector, other.vector, scale, *given)
        return losses

    def intensity_losses(self, batch: AMEBatch | StyleLabels, codes: dict[str, Coded]) -> dict[str, Tensor]:
        """Ordinal loss of clips whose level is known, mean over modalities; and the null point of unrelated prompts.

        The null point is for open vocabularies alone.
        """
        head = self.encoder.intensity
        level, known = ordinal_level(batch.emotion, batch.level), is_level_known(batch.emotion, batch.level)
        ordinal = [
            ordinal_loss(head.score(code.token), head.thresholds, level[rows], known[rows])
            for code, rows in codes.values()
        ]
        losses = {"intensity": torch.stack(ordinal).mean()}
        if self.encoder.text.open_vocabulary:
            losses["null"] = null_loss(self.encoder.encode_text(self._unrelated()).token)
        return losses

    def _unrelated(self) -> list[str]:
        sentences = prompts().unrelated
        chosen = torch.randint(len(sentences), (self.config.unrelated_prompts,))
        return [sentences[index] for index in chosen.tolist()]

    def losses(self, batch: AMEBatch | StyleLabels, codes: dict[str, Coded]) -> dict[str, Float[Tensor, ""]]:
        """Unweighted losses of the codes of a batch.

        Args:
            batch: the labels of the clips.
            codes: codes by modality, as `codes` returns them.

        Returns:
            Losses by the names of `AMEWeights`.
        """
        return {**self.contrastive_losses(batch, codes), **self.intensity_losses(batch, codes)}

    def total(self, losses: Mapping[str, Tensor]) -> Float[Tensor, ""]:
        """Weighted sum of losses.

        Args:
            losses: unweighted losses by name.

        Returns:
            Their sum with the weights of the config.
        """
        return torch.stack([getattr(self.config.weights, name) * loss for name, loss in losses.items()]).sum()

    def on_fit_start(self) -> None:
        """Set the origin of the image directions from training images."""
        super().on_fit_start()
        image = self.encoder.image
        if not isinstance(image, ClipImage) or image.origin_set:
            return
        if not hasattr(self.data, "pictures"):
            raise UserError(
                "AME needs the mean of its training images: fit with datamodule=, a MEADDataModule, "
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
        """As the base's; earlier formats kept the sum and the count of the training images' vectors."""
        state = dict(state)
        count = state.pop("encoder.image.count", None)
        if count is not None:
            state["encoder.image.origin"] = (state.pop("encoder.image.total") / count.clamp(min=1)).float()
            state["encoder.image.origin_set"] = (count > 0).long()
        return state

    def evaluate_batch(self, batch: ClipItem, loader: int, phase: Phase) -> EmbeddedClip | None:
        """The clip's labels and vectors; None for one without label, or in loader 0 of none of MEAD's styles."""
        if batch.emotion is None or (loader == 0 and batch.emotion not in EMOTIONS):
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
            result |= self._basic_metrics(basic)
            if phase == "val":
                result["loss"] = self.clip_loss(basic).item()
        if unseen and self.encoder.text.open_vocabulary:
            vectors, names = stack([clip.vectors for clip in unseen]), _names(_by_modality(unseen))
            result |= unseen_metrics(self.encoder, vectors, names)
        return result

    def _basic_metrics(self, clips: Sequence[EmbeddedClip]) -> dict[str, float]:
        """Of styles, on the clips whose level is known; of emotions, on all."""
        result: dict[str, float] = {}
        if styled := [clip for clip in clips if clip.style >= 0]:
            items = style_items(self.encoder, _by_modality(styled), stack([clip.vectors for clip in styled]))
            result |= style_metrics(self.encoder, items)
        if self.encoder.text.open_vocabulary:
            vectors, names = stack([clip.vectors for clip in clips]), _names(_by_modality(clips))
            result |= emotion_metrics(self.encoder, vectors, names)
        return result

    def clip_loss(self, clips: Sequence[EmbeddedClip]) -> Float[Tensor, ""]:
        """The training loss of whole clips' vectors, with the plainest prompt of each clip's style as text."""
        columns = [(EMOTIONS.index(clip.emotion), clip.level) for clip in clips]
        labels = StyleLabels(*torch.tensor(columns, device=self.device).T)
        codes = {"text": Coded(plain_codes(self.encoder, labels), torch.arange(len(clips), device=self.device))}
        for name, vectors in stack([clip.vectors for clip in clips]).items():
            rows = [place for place, clip in enumerate(clips) if name in clip.vectors]
            codes[name] = Coded(self.encoder.code(vectors), torch.tensor(rows, device=self.device))
        return self.total(self.losses(labels, codes))


def _by_modality(clips: Sequence[EmbeddedClip]) -> dict[str, list[EmbeddedClip]]:
    """Those clips that have each modality."""
    names = dict.fromkeys(name for clip in clips for name in clip.vectors)
    return {name: [clip for clip in clips if name in clip.vectors] for name in names}


def _names(clips: Mapping[str, Sequence[EmbeddedClip]]) -> dict[str, list[str]]:
    return {modality: [clip.emotion for clip in held] for modality, held in clips.items()}


_ORDER = ("text", "audio", "image")
