"""Codes of a training batch's emotions, for the stages built on the space: random prompts, images and voices."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from conventions.emotions import EMOTIONS, NUM_LEVELS
from datamodules.batches import AMEBatch, EACBatch, HEFBatch
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder, Modality
from lightning_modules.ame.intensity import NEUTRAL, ordinal_level
from lightning_modules.ame.prompts import style_prompt, style_prompts


@dataclass(frozen=True)
class StyleLabels:
    """Emotion labels of clips alone, as batches have them."""

    emotion: Int[Tensor, " b"]
    """Indices in `EMOTIONS`; -1 where a clip has none."""
    level: Int[Tensor, " b"]
    """1..3; 0 where it is unknown."""


Labels = AMEBatch | EACBatch | HEFBatch | StyleLabels
"""What has the labels of clips."""


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
    return choose(swap, other, code)


def _at_random_levels(emotion: Int[Tensor, " b"]) -> Labels:
    """The same emotions at random levels; any emotion but neutral where one is neutral."""
    shift = torch.randint(1, len(EMOTIONS), emotion.shape).to(emotion.device)
    level = torch.randint(1, NUM_LEVELS + 1, emotion.shape).to(emotion.device)
    return StyleLabels(torch.where(emotion == NEUTRAL, (NEUTRAL + shift) % len(EMOTIONS), emotion), level)


def even_shares(encoder: EmotionEncoder, others: float) -> dict[Modality, float]:
    """The share `others`, divided evenly among the encoder's modalities besides text."""
    known: list[Modality] = [modality for modality in encoder.modalities if modality != "text"]
    return {modality: others / len(known) for modality in known}


def batch_codes(
    encoder: EmotionEncoder,
    labels: Labels,
    image: Float[Tensor, "b 3 h w"],
    voice: tuple[Float[Tensor, "b t d"], Bool[Tensor, "b t"]] | None,
    *,
    shares: Mapping[Modality, float],
    slider_share: float,
) -> EmotionCode:
    """Codes of a batch of clips: those of an image or a voice in random shares of the batches, else of text.

    Args:
        encoder: the emotion space; a modality that it does not take has no share.
        labels: emotion and level of each clip.
        image: an image of each clip in [-1, 1].
        voice: the voice of each clip and its mask; a clip without audio gets the plainest text's code. None: no share.
        shares: share of the batches by modality.
        slider_share: see `text_codes`.
    """
    draw = float(torch.rand(()))
    for modality in encoder.modalities:
        if draw < (share := shares.get(modality, 0.0)):
            if modality == "image":
                return encoder.encode_image(image).detach()
            if voice is not None:
                return _voice_codes(encoder, labels, *voice).detach()
        draw -= share
    return text_codes(encoder, labels, slider_share).detach()


def _voice_codes(encoder: EmotionEncoder, labels: Labels, voice: Tensor, mask: Tensor) -> EmotionCode:
    return choose(mask.any(dim=1), encoder.encode_audio(voice, mask), plain_codes(encoder, labels))


def choose(chosen: Bool[Tensor, " b"], one: EmotionCode, other: EmotionCode) -> EmotionCode:
    """The rows of `one` where chosen, else those of `other`."""
    return EmotionCode(
        torch.where(chosen[:, None], one.vector, other.vector),
        torch.where(chosen[:, None], one.token, other.token),
        torch.where(chosen, one.level, other.level),
    )
