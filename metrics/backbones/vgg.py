"""The perceptual loss's network: VGG-16 from torchvision's own file."""

from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from conventions.weights import VGG16, WeightFile, load_strictly
from metrics.backbones.protocols import IMAGENET_DEVIATION, IMAGENET_MEAN

LAYERS = (3, 8, 15, 22)
"""relu1_2, relu2_2, relu3_3, relu4_3 of torchvision's VGG-16 (the layers of Johnson et al. 2016)."""


class VGGFeatures(nn.Module):
    """Maps at four layers, frozen, with gradients to the images."""

    name = "VGG-16"
    stand_in = False
    file: ClassVar[WeightFile] = VGG16

    def __init__(self, path: Path) -> None:
        super().__init__()
        from torchvision.models import vgg16

        state = self.file.state_dict(path)
        with torch.device("meta"):
            network = vgg16(weights=None)
        network.to_empty(device="cpu")
        load_strictly(network, state, path)
        self.layers = nn.ModuleList(list(network.features.children())[: LAYERS[-1] + 1])
        self.layers.eval().requires_grad_(False)
        for layer in self.layers:  # in place, a layer would change the map that is handed out before it
            if isinstance(layer, nn.ReLU):
                layer.inplace = False

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Maps of frames in [-1, 1]."""
        mean, deviation = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        x, maps = ((images + 1) / 2 - mean) / deviation, []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in LAYERS:
                maps.append(x)
        return maps
