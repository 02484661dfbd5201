"""Convolutions that the three networks of HEF are made of."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
"""Negative slope of every leaky rectifier here."""

GAIN = math.sqrt(2 / (1 + SLOPE**2))
"""Standard deviation before the rectifier that leaves unit power behind it."""


def activate(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The rectifier of every network here."""
    return F.leaky_relu(x, SLOPE, inplace=True)


def resize(x: Float[Tensor, "b c h w"], size: int) -> Float[Tensor, "b c size size"]:
    """To another square size by powers of two: bilinear upwards, mean of cells downwards."""
    if size < x.shape[-1]:
        return F.avg_pool2d(x, x.shape[-1] // size)
    if size > x.shape[-1]:
        return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
    return x


def join(*parts: Float[Tensor, "b _c h w"]) -> Float[Tensor, "b c h w"]:
    """Channels of all parts after another, in the memory layout that convolutions work in."""
    return torch.cat([part.contiguous(memory_format=torch.channels_last) for part in parts], dim=1)


def convolution(inputs: int, outputs: int, kernel: int = 3, gain: float = GAIN) -> nn.Conv2d:
    """A convolution of the same size whose outputs have standard deviation `gain` for inputs of unit power."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs * kernel**2))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


class ModulatedConvolution(nn.Module):
    """StyleGAN2's convolution: a style scales the inputs, demodulation restores unit power of the outputs.

    Scaling activations instead of weights is the same function (Karras et al. 2020, section 2.2) and one ordinary
    convolution for the whole batch.
    """

    def __init__(self, inputs: int, outputs: int, style_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) / math.sqrt(inputs * 9))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scales = nn.Linear(style_dim, inputs)
        nn.init.normal_(self.scales.weight, std=0.5 / math.sqrt(style_dim))
        nn.init.ones_(self.scales.bias)

    def forward(self, x: Float[Tensor, "b i h w"], style: Float[Tensor, "b d"]) -> Float[Tensor, "b o h w"]:
        """Modulate, convolve, demodulate, rectify."""
        scale = self.scales(style)
        power = (scale.square()[:, None] * self.weight.square().sum(dim=(2, 3))).sum(dim=2)
        out = F.conv2d(x * scale[:, :, None, None], self.weight, padding=1)
        restore = (GAIN * torch.rsqrt(power + 1e-8)).to(out.dtype)
        return activate(torch.addcmul(self.bias[:, None, None].to(out.dtype), out, restore[:, :, None, None]))


class Down(nn.Module):
    """Residual block that halves height and width: two convolutions beside a pooled 1 x 1 shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = convolution(inputs, inputs)
        self.second = convolution(inputs, outputs)
        self.shortcut = convolution(inputs, outputs, kernel=1, gain=1.0)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        """Half the size, `outputs` channels, about unit power."""
        deep, shallow = F.avg_pool2d(activate(self.first(x)), 2), F.avg_pool2d(x, 2)
        return activate(_quieter(self.second, deep)) + _quieter(self.shortcut, shallow)


def _quieter(layer: nn.Conv2d, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h w"]:
    """The layer's output times the square root of a half, by its weights: they are fewer than the pixels."""
    assert layer.bias is not None
    return F.conv2d(x, layer.weight * math.sqrt(0.5), layer.bias * math.sqrt(0.5), padding=layer.padding)


class Pyramid(nn.Module):
    """Features of an image at each scale from full resolution down to the coarsest."""

    def __init__(self, inputs: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stem = convolution(inputs, channels[-1])
        steps = zip(channels[:0:-1], channels[-2::-1], strict=True)
        self.downs = nn.ModuleList(Down(fine, coarse) for fine, coarse in steps)

    def forward(self, image: Float[Tensor, "b i r r"]) -> list[Tensor]:
        """[b, channels[i], size_i, size_i], coarsest first."""
        features = [activate(self.stem(image))]
        for down in self.downs:
            features.append(down(features[-1]))
        return features[::-1]


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
