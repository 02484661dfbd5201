"""A small network that reads emotion off grey images of faces, for collections without CLIP's weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_modules.ame.config import ImageConfig
from lightning_modules.ame.emotion import EMOTION_DIM

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
