"""Features for the perceptual loss: VGG-16 from a file, or the stated stand-in."""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lightning_modules.hef.layers import GAIN, Pyramid
from lightning_modules.training.checkpoints import load_state, read_checkpoint

VGG_LAYERS = (3, 8, 15, 22)
"""relu1_2, relu2_2, relu3_3, relu4_3 of torchvision's VGG-16 (the layers of Johnson et al. 2016)."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGGFeatures(nn.Module):
    """Features of torchvision's VGG-16, weights from a local file (`vgg16-397923af.pth`)."""

    stand_in = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torchvision.models import vgg16

        network = vgg16(weights=None)
        load_state(network, read_checkpoint(path), str(path))
        self.layers = nn.ModuleList(list(network.features.children())[: VGG_LAYERS[-1] + 1])
        self.mean = nn.Buffer(torch.tensor(IMAGENET_MEAN)[:, None, None])
        self.std = nn.Buffer(torch.tensor(IMAGENET_STD)[:, None, None])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Features at the four layers."""
        x, features = ((images + 1) / 2 - self.mean) / self.std, []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in VGG_LAYERS:
                features.append(x)
        return features


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


def perceptual_features(path: str | None, trained: nn.Module | None = None) -> nn.Module:
    """The network of the perceptual loss: VGG-16 from `path`, else the small `trained` one, else the stand-in."""
    return VGGFeatures(Path(path)) if path else trained or RandomFeatures()
