"""The image trunk of the small CLIP, registered with timm so that an open_clip configuration can name it."""

from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from timm.models import register_model
from torch import Tensor, nn

WIDTH = 16
"""Channels of the first stage; the following have 2, 3 and 4 times as many."""

HALVINGS = 4


def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class FaceTrunk(nn.Module):
    """Features of small aligned faces: every pixel is seen before the first halving, and the last map is kept whole.

    CLIP's ResNets and ViTs shrink their input by four or more at once, and the differences between emotions on a face
    of 40 pixels are one or two pixels wide.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        widths = [WIDTH * factor for factor in (1, 2, 3, 4)]
        halving = [stage(before, after, 2) for before, after in pairwise(widths)]
        self.stages = nn.Sequential(stage(3, WIDTH, 1), nn.MaxPool2d(2), *halving)
        self.num_features = widths[-1] * (size >> HALVINGS) ** 2
        self.default_cfg: dict[str, Any] = {}

    def reset_classifier(self, num_classes: int, global_pool: str = "") -> None:
        """There is none: open_clip calls this on every timm trunk and adds its own projection."""

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """The last map, flat."""
        return self.stages(images.contiguous(memory_format=torch.channels_last)).flatten(1)


@register_model
def emospace_face_48(pretrained: bool = False, **_: Any) -> FaceTrunk:
    """The trunk for images of 48 px."""
    return FaceTrunk(48)
