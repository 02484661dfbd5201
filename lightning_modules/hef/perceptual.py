"""Features for the perceptual loss where no network is given: the stated stand-in."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_modules.hef.layers import GAIN, Pyramid


class RandomFeatures(nn.Module):
    """Stand-in for VGG where no weights are given: a fixed random pyramid (its seed is part of its definition).

    Random convolutions compare structure at several scales (He et al. 2016) but have no features of faces.
    """

    stand_in = True

    def __init__(self, channels: tuple[int, ...] = (48, 32, 16, 8)) -> None:
        super().__init__()
        self.pyramid = Pyramid(3, channels)
        generator = torch.Generator().manual_seed(20_230_618)
        for parameter in self.pyramid.parameters():
            if parameter.ndim == 4:
                std = GAIN / math.sqrt(parameter[0].numel())
                nn.init.normal_(parameter, std=std, generator=generator)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Features at four scales."""
        return self.pyramid(images)
