"""The discriminator: is this frame real, does it follow this geometry, does it show this emotion?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_modules.ame.emotion import EMOTION_DIM
from lightning_modules.hef.config import HEFConfig
from lightning_modules.hef.layers import Pyramid, activate, convolution


class Discriminator(nn.Module):
    """Residual discriminator on frame and render, with the emotion by projection (Miyato and Koyama 2018)."""

    def __init__(self, config: HEFConfig) -> None:
        super().__init__()
        width = config.discriminator_width
        channels = tuple(min(config.max_width, width * config.resolution // size) for size in config.sizes)
        deepest = channels[0]
        self.pyramid = Pyramid(3 + 4, channels)
        self.last = convolution(deepest, deepest)
        self.score = nn.Linear(deepest, 1)
        self.emotion = nn.Linear(EMOTION_DIM, deepest, bias=False)

    def forward(
        self, image: Float[Tensor, "b 3 r r"], geometry: Float[Tensor, "b 4 r r"], emotion: Float[Tensor, "b 512"]
    ) -> Float[Tensor, "b"]:
        """Logits: positive for real. `geometry` is the render and mask of the face that the frame should show."""
        features = self.pyramid(torch.cat([image, geometry], dim=1))[0]
        pooled = activate(self.last(features)).mean(dim=(2, 3))
        projected = (self.emotion(emotion) * pooled).sum(dim=1) / math.sqrt(pooled.shape[1])
        return self.score(pooled).squeeze(1) + projected
