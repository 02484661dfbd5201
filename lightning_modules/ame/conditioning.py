"""Codes of a training batch's emotions, for the stages built on the space: random prompts, pictures and voices."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from conventions.emotions import EMOTIONS
from conventions.rates import MEL_STEPS_PER_FRAME
from datamodules.batches import EACBatch
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.ame.intensity import NEUTRAL
from lightning_modules.ame.prompts import style_prompt, style_prompts


@runtime_checkable
class Labels(Protocol):
    """What a batch says of its emotions; -1 where a clip has no label."""

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


def text_codes(encoder: EmotionEncoder, labels: Labels, level_swap: float) -> EmotionCode:
    """Text codes of random prompts.

    A random share `level_swap` of them has the vector of another level's prompt under the token of its own level,
    so that a network learns to take strength from the token: what makes the level slider work.
    """
    code = encoder.encode_text(random_prompts(labels))
    if level_swap == 0:
        return code
    other = encoder.encode_text(random_prompts(_with_random_levels(labels)))
    swap = torch.rand(len(code)).to(code.vector.device) < level_swap
    return EmotionCode(torch.where(swap[:, None], other.vector, code.vector), code.token, code.level)


class _Relabelled:
    def __init__(self, emotion: Int[Tensor, " b"], level: Int[Tensor, " b"]) -> None:
        self.emotion, self.level = emotion, level


def _with_random_levels(labels: Labels) -> Labels:
    level = torch.randint(1, 4, labels.level.shape).to(labels.level.device)
    return _Relabelled(labels.emotion, torch.where(labels.emotion == NEUTRAL, 1, level))


def batch_codes(encoder: EmotionEncoder, batch: EACBatch, *, other_modalities: float, level_swap: float) -> EmotionCode:
    """Codes of a batch of clips: text, or in a random share `other_modalities` of the batches picture or voice."""
    others = [modality for modality in encoder.modalities if modality != "text"]
    draw = float(torch.rand(()))
    if others and draw < other_modalities:
        modality = others[int(draw / other_modalities * len(others))]
        if modality == "image":
            return encoder.encode_image(batch.image).detach()
        return encoder.encode_audio(*_voice(batch)).detach()
    return text_codes(encoder, batch, level_swap).detach()


def _voice(batch: EACBatch) -> tuple[Float[Tensor, "b t 80"], Tensor]:
    return batch.mel, batch.mask.repeat_interleave(MEL_STEPS_PER_FRAME, dim=1)
