"""Emotion of a voice from a frozen speech encoder's features: mean and deviation over time, then a linear map."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.ame.config import AudioConfig
from lightning_modules.ame.emotion import EMOTION_DIM


def mean_and_deviation(values: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b d2"]:
    """Mean and standard deviation over what the mask shows, one after the other."""
    shown = mask[..., None].to(values.dtype)
    count = shown.sum(1).clamp(min=1)
    mean = (values * shown).sum(1) / count
    variance = ((values - mean[:, None]).square() * shown).sum(1) / count
    return torch.cat([mean, (variance + 1e-8).sqrt()], dim=-1)


class FeatureEncoder(nn.Module):
    """Unit vectors of feature sequences of any length; padding has no influence.

    Few people speak in labelled data sets: what is trained is no more than a linear map, on statistics that are
    standardised over the training batches and thinned by dropout.
    """

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        width = 2 * math.prod(config.speech.shape[-1:])
        self.standardise = nn.BatchNorm1d(width, affine=False, momentum=None)
        self.dropout = nn.Dropout(config.pooled_dropout)
        self.project = nn.Linear(width, EMOTION_DIM)

    def forward(self, voice: Float[Tensor, "b t d"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b 512"]:
        """Unit vectors; `mask` is True where there is sound."""
        pooled = self.standardise(mean_and_deviation(voice, mask))
        return F.normalize(self.project(self.dropout(pooled)), dim=-1)
