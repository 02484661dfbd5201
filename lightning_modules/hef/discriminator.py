"""The discriminator: is this frame real, does it follow this geometry, does it show this emotion?"""

import dataclasses
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from face3d.grid import ALIGN_CORNERS, identity_grid
from face3d.keypoints import EYES, MOUTH
from lightning_modules.ame.emotion import EMOTION_DIM
from lightning_modules.hef.config import BASE_SIZE, HEFConfig
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
        self,
        image: Float[Tensor, "b 3 r r"],
        geometry: Float[Tensor, "b 4 r r"],
        emotion: Float[Tensor, "b 512"],
        keypoints: Float[Tensor, "b 68 2"] | None = None,
    ) -> Float[Tensor, "b"]:
        """Logits: positive for real. `geometry` is the render and mask of the face that the frame should show."""
        features = self.pyramid(torch.cat([image, geometry], dim=1))[0]
        pooled = activate(self.last(features)).mean(dim=(2, 3))
        projected = (self.emotion(emotion) * pooled).sum(dim=1) / math.sqrt(pooled.shape[1])
        return self.score(pooled).squeeze(1) + projected


class PartsDiscriminator(Discriminator):
    """Judges the whole frame, and by a second network mouth and eyes, cut out with their geometry."""

    def __init__(self, config: HEFConfig) -> None:
        super().__init__(config)
        self.size = max(2 * BASE_SIZE, config.resolution // 4)
        self.parts = Discriminator(dataclasses.replace(config, resolution=self.size))

    def forward(
        self,
        image: Float[Tensor, "b 3 r r"],
        geometry: Float[Tensor, "b 4 r r"],
        emotion: Float[Tensor, "b 512"],
        keypoints: Float[Tensor, "b 68 2"] | None = None,
    ) -> Float[Tensor, "b3"]:
        """Logits of the frames, then of the mouths, then of the pairs of eyes."""
        assert keypoints is not None, "hef.discriminator=parts needs keypoints"
        both = torch.cat([image, geometry], dim=1)
        cuts = [cut_out(both, keypoints[:, part], self.size) for part in (MOUTH, EYES)]
        pictures, renders = torch.cat(cuts).split([3, 4], dim=1)
        return torch.cat(
            [super().forward(image, geometry, emotion), self.parts(pictures, renders, emotion.repeat(2, 1))]
        )


def cut_out(
    image: Float[Tensor, "b c r r"], points: Float[Tensor, "b k 2"], size: int
) -> Float[Tensor, "b c size size"]:
    """The square about some landmarks, a third wider than they are, at `size` pixels."""
    low, high = points.amin(dim=1), points.amax(dim=1)
    middle, half = (low + high) / 2, (high - low).amax(dim=1) * (2 / 3)
    grid = middle[:, None, None] + half[:, None, None, None] * identity_grid(size, size, image.device)
    return F.grid_sample(image, grid.to(image.dtype), padding_mode="border", align_corners=ALIGN_CORNERS)


def build_discriminator(config: HEFConfig) -> Discriminator:
    """The discriminator that `hef.discriminator` names."""
    return PartsDiscriminator(config) if config.discriminator == "parts" else Discriminator(config)
