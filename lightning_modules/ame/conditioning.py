"""Codes of a training batch's emotions, for the stages built on the space: random prompts, pictures and voices."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from conventions.emotions import EMOTIONS, NUM_LEVELS
from datamodules.batches import EACBatch
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.ame.intensity import NEUTRAL, ordinal_level
from lightning_modules.ame.prompts import style_prompt, style_prompts


@runtime_checkable
class Labels(Protocol):
    """Emotion labels of a batch; -1 where a clip has none."""

    @property
    def emotion(self) -> Tensor:
        """Indices in `EMOTIONS` [b]."""
        ...

    @property
    def level(self) -> Tensor:
        """1..3 [b]."""
        ...


def _named(labels: Labels) -> list[tuple[str, int]]:
    """(emotion, level) of each clip; a clip without label counts as neutral."""
    pairs = zip(labels.emotion.tolist(), labels.level.tolist(), strict=True)
    return [(EMOTIONS[emotion], level) if emotion >= 0 else (EMOTIONS[NEUTRAL], 1) for emotion, level in pairs]


def random_prompts(labels: Labels) -> list[str]:
    """One random prompt for the style of each clip, drawn from torch's global state."""
    named = _named(labels)
    draws = torch.rand(len(named)).tolist()
    return [
        style_prompt(emotion, level, int(draw * len(style_prompts(emotion, level))))
        for (emotion, level), draw in zip(named, draws, strict=True)
    ]


def plain_codes(encoder: EmotionEncoder, labels: Labels) -> EmotionCode:
    """Text codes of each clip's style by its plainest prompt: the condition of evaluation."""
    return encoder.encode_text([style_prompt(emotion, level, 0) for emotion, level in _named(labels)])


def text_codes(encoder: EmotionEncoder, labels: Labels, slider_share: float) -> EmotionCode:
    """Text codes of random prompts.

    A random share `slider_share` of them is another prompt's code, moved to the clip's own level by the level slider:
    the same emotion at a random level, or for a neutral clip (level 0) any emotion. A network so learns to take
    strength from the token, down to none: what makes the slider work.
    """
    code = encoder.encode_text(random_prompts(labels))
    if slider_share == 0:
        return code
    emotion = torch.where(labels.emotion < 0, NEUTRAL, labels.emotion)
    others = encoder.encode_text(random_prompts(_at_random_levels(emotion)))
    other = encoder.with_level(others, ordinal_level(emotion, labels.level).to(others.level))
    swap = torch.rand(len(code)).to(code.vector.device) < slider_share
    return EmotionCode(
        torch.where(swap[:, None], other.vector, code.vector),
        torch.where(swap[:, None], other.token, code.token),
        torch.where(swap, other.level, code.level),
    )


@dataclass(frozen=True)
class _Relabelled:
    emotion: Int[Tensor, " b"]
    level: Int[Tensor, " b"]


def _at_random_levels(emotion: Int[Tensor, " b"]) -> Labels:
    """The same emotions at random levels; any emotion but neutral where one is neutral."""
    shift = torch.randint(1, len(EMOTIONS), emotion.shape).to(emotion.device)
    level = torch.randint(1, NUM_LEVELS + 1, emotion.shape).to(emotion.device)
    return _Relabelled(torch.where(emotion == NEUTRAL, (NEUTRAL + shift) % len(EMOTIONS), emotion), level)


def batch_codes(
    encoder: EmotionEncoder, batch: EACBatch, *, other_modalities: float, slider_share: float
) -> EmotionCode:
    """Codes of a batch of clips: text, or in a random share `other_modalities` of the batches picture or voice."""
    others = [modality for modality in encoder.modalities if modality != "text"]
    draw = float(torch.rand(()))
    if others and draw < other_modalities:
        modality = others[int(draw / other_modalities * len(others))]
        if modality == "image":
            return encoder.encode_image(batch.image).detach()
        return encoder.encode_audio(*_voice(batch)).detach()
    return text_codes(encoder, batch, slider_share).detach()


def _voice(batch: EACBatch) -> tuple[Float[Tensor, "b t d"], Tensor]:
    return batch.voice, batch.mask.repeat_interleave(batch.voice.shape[1] // batch.mask.shape[1], dim=1)
