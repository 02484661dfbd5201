"""FID's Inception V3: TensorFlow's 2015 network, in torchvision's modules with the differences that FID rests on."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import inception

from conventions.weights import INCEPTION, WeightFile, load_strictly

SIZE = 299
NUM_CLASSES = 1008
BATCH = 32


class _TensorFlowPool(nn.Module):
    """The pooling branch as TensorFlow has it: padding does not count in the mean; the last block takes the largest."""

    largest: Any = False
    branch_pool: nn.Module
    _forward: Any

    def forward(self, x: Tensor) -> Tensor:
        """All branches side by side."""
        pooled = F.max_pool2d(x, 3, 1, 1) if self.largest else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return torch.cat([*self._forward(x)[:-1], self.branch_pool(pooled)], dim=1)


class _A(_TensorFlowPool, inception.InceptionA):
    pass


class _C(_TensorFlowPool, inception.InceptionC):
    pass


class _E(_TensorFlowPool, inception.InceptionE):
    pass


def empty_inception() -> inception.Inception3:
    """The network without weights; its tensors have the names of the FID file."""
    blocks: list[Any] = [
        inception.BasicConv2d, _A, inception.InceptionB, _C, inception.InceptionD, _E, inception.InceptionAux,
    ]  # fmt: skip
    network = inception.Inception3(NUM_CLASSES, aux_logits=False, inception_blocks=blocks, init_weights=False)
    setattr(network.Mixed_7c, "largest", True)  # noqa: B010
    return network.eval().requires_grad_(False)


class FIDInception:
    """2048 pooled features of frames resized as TensorFlow 1 does."""

    name = "Inception V3 (FID, 2015-12-05)"
    stand_in = False
    file: ClassVar[WeightFile] = INCEPTION
    num_features = 2048

    def __init__(self, path: Path) -> None:
        self.network = empty_inception()
        load_strictly(self.network, INCEPTION.state_dict(path), path)
        self.network.fc = nn.Identity()  # type: ignore[assignment]

    def features(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """Features of frames in [-1, 1], rounded to 8 bits as FID's images are."""
        self.network.to(images.device)
        pixels = ((images.clamp(-1, 1) + 1) * 127.5).round()
        parts = [self.network((tensorflow_resize(part, SIZE) - 128) / 128) for part in pixels.split(BATCH)]
        return torch.cat(parts)


def tensorflow_resize(images: Float[Tensor, "t c h w"], size: int) -> Float[Tensor, "t c s s"]:
    """Bilinear resize of TensorFlow 1: output pixel i takes place i * (input / output), no half-pixel centres."""
    for dimension in (2, 3):
        length = images.shape[dimension]
        place = torch.arange(size, device=images.device, dtype=images.dtype) * (length / size)
        low = place.long()
        high = (low + 1).clamp(max=length - 1)
        share = (place - low).unflatten(0, (size, 1) if dimension == 2 else (1, size))
        images = torch.lerp(images.index_select(dimension, low), images.index_select(dimension, high), share)
    return images
