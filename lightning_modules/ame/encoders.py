"""Encoders of AME that are trained from scratch: of the emotion of a voice, and of a face where CLIP is not at hand.

`AudioEncoder`: log-mel -> convolutional stem -> positions -> small Transformer -> attentive pooling.
`FeatureEncoder`: features of a frozen speech encoder -> mean and deviation over time -> linear map.
`TrainedImage`: grey image -> small residual network.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.rates import MEL_BINS
from lightning_modules.ame.config import AudioConfig, ImageConfig
from lightning_modules.ame.emotion import EMOTION_DIM

SILENCE_DB, LOUD_DB = -80.0, 0.0
"""The range of log-mel in dB that is mapped to -1..1."""


class Stem(nn.Module):
    """Two strided convolutions: 100 columns a second become 25, and what the mask hides has no influence."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(MEL_BINS, width, 5, stride=2, padding=2), nn.Conv1d(width, width, 5, stride=2, padding=2)]
        )

    def forward(
        self, mel: Float[Tensor, "b t 80"], mask: Bool[Tensor, "b t"]
    ) -> tuple[Float[Tensor, "b s d"], Bool[Tensor, "b s"]]:
        """Features and mask at a quarter of the rate."""
        hidden = mel.transpose(1, 2)
        for convolution in self.convolutions:
            hidden = F.gelu(convolution(hidden * mask[:, None]))
            mask = mask[:, ::2]
        return hidden.transpose(1, 2), mask


class RelativePositions(nn.Module):
    """Adds to each step what is around it, so that attention receives the order of steps (Baevski et al. 2020,
    wav2vec 2.0, section 2): a convolution over time, alike at all places and for audio of any length.
    """

    KERNEL = 15
    """Steps of 40 ms."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, self.KERNEL, padding=self.KERNEL // 2, groups=width)

    def forward(self, features: Float[Tensor, "b s d"], mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b s d"]:
        """Features with their surroundings; masked steps have no part in them."""
        shown = (features * mask[..., None]).transpose(1, 2)
        return features + F.gelu(self.convolution(shown)).transpose(1, 2)


class AttentivePooling(nn.Module):
    """Mean over time, weighted by a learned query."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, 1)

    def forward(self, features: Float[Tensor, "b s d"], mask: Bool[Tensor, "b s"]) -> Float[Tensor, "b d"]:
        """One vector per sequence; masked steps have no part in it."""
        scores = self.query(features).squeeze(-1).masked_fill(~mask, -1e4)
        return torch.einsum("bs,bsd->bd", scores.softmax(-1), features)


class AudioEncoder(nn.Module):
    """Unit vectors of log-mel sequences of any length; padding has no influence."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.stem = Stem(config.width)
        self.positions = RelativePositions(config.width) if config.positions == "convolution" else None
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            dim_feedforward=2 * config.width,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.pooling = AttentivePooling(config.width)
        self.dropout = nn.Dropout(config.pooled_dropout)
        self.project = nn.Linear(config.width, EMOTION_DIM)

    def forward(self, mel: Float[Tensor, "b t 80"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b 512"]:
        """Unit vectors; `mel` in dB, `mask` True where there is audio."""
        scaled = (mel.clamp(SILENCE_DB, LOUD_DB) - SILENCE_DB) * 2 / (LOUD_DB - SILENCE_DB) - 1
        features, short_mask = self.stem(scaled, mask)
        if self.positions is not None:
            features = self.positions(features, short_mask)
        features = self.transformer(features, src_key_padding_mask=~short_mask)
        return F.normalize(self.project(self.dropout(self.pooling(features, short_mask))), dim=-1)


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
        """Unit vectors; `mask` is True where there is audio."""
        pooled = self.standardise(mean_and_deviation(voice, mask))
        return F.normalize(self.project(self.dropout(pooled)), dim=-1)


LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in a grey image (ITU-R BT.601)."""


class Block(nn.Module):
    """Residual block of two convolutions, then half the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, inputs: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """Features at half the resolution."""
        return F.max_pool2d(F.relu(self.skip(inputs) + self.layers(inputs)), 2)


class TrainedImage(nn.Module):
    """Unit vectors of face images, each standardised in grey: colour and exposure have no part in them."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Conv2d(1, width, 5, stride=2, padding=2)
        self.blocks = nn.Sequential(Block(width, width), Block(width, 2 * width), Block(2 * width, 4 * width))
        self.dropout = nn.Dropout(config.dropout)
        self.project = nn.Linear(4 * width, EMOTION_DIM)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 512"]:
        """Unit vectors of face images in [-1, 1]."""
        grey = torch.einsum("bchw,c->bhw", images, images.new_tensor(LUMA))[:, None]
        deviation = grey.std((1, 2, 3), keepdim=True).clamp(min=1e-3)
        hidden = self.blocks(F.relu(self.stem((grey - grey.mean((1, 2, 3), keepdim=True)) / deviation)))
        return F.normalize(self.project(self.dropout(hidden.mean((2, 3)))), dim=-1)
