"""SyncNet (Chung and Zisserman 2016) with the layers and the tensor names of the official `syncnet_v2.model`."""

from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.weights import SYNCNET, WeightFile, load_strictly

SIZE = 224
DIMENSION = 1024


def _unit(
    dimensions: int, inputs: int, outputs: int, kernel: Any, stride: Any = 1, padding: Any = 0
) -> list[nn.Module]:
    convolution: Any = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    norm: Any = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dimensions]
    return [convolution(inputs, outputs, kernel, stride, padding), norm(outputs), nn.ReLU(inplace=True)]


def _audio_layers() -> nn.Sequential:
    return nn.Sequential(
        *_unit(2, 1, 64, 3, 1, 1), nn.MaxPool2d(1, 1),
        *_unit(2, 64, 192, 3, 1, 1), nn.MaxPool2d(3, (1, 2)),
        *_unit(2, 192, 384, 3, 1, 1), *_unit(2, 384, 256, 3, 1, 1),
        *_unit(2, 256, 256, 3, 1, 1), nn.MaxPool2d(3, 2),
        *_unit(2, 256, 512, (5, 4)),
    )  # fmt: skip


def _video_layers() -> nn.Sequential:
    wide, side = (1, 2, 2), (0, 1, 1)
    return nn.Sequential(
        *_unit(3, 3, 96, (5, 7, 7), wide), nn.MaxPool3d((1, 3, 3), wide),
        *_unit(3, 96, 256, (1, 5, 5), wide, side), nn.MaxPool3d((1, 3, 3), wide, side),
        *_unit(3, 256, 256, (1, 3, 3), 1, side), *_unit(3, 256, 256, (1, 3, 3), 1, side),
        *_unit(3, 256, 256, (1, 3, 3), 1, side), nn.MaxPool3d((1, 3, 3), wide),
        *_unit(3, 256, 512, (1, 6, 6)),
    )  # fmt: skip


def _head() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, DIMENSION))


class SyncNet(nn.Module):
    """Features of 1024 numbers for 20 MFCC steps and for 5 frames of 224 px."""

    name = "SyncNet v2"
    stand_in = False
    file: ClassVar[WeightFile] = SYNCNET
    own_crop = True
    trusted = 1.5

    def __init__(self, path: Path | None = None) -> None:
        """With the official weights of the file, frozen; without a file with random ones."""
        super().__init__()
        self.netcnnaud = _audio_layers()
        self.netfcaud = _head()
        self.netfclip = _head()
        self.netcnnlip = _video_layers()
        if path is not None:
            load_strictly(self, self.file.state_dict(path), path)
            self.eval().requires_grad_(False)

    def audio(self, mfcc: Float[Tensor, "n 13 20"]) -> Float[Tensor, "n d"]:
        """Features of audio windows of `metrics.speech_features`."""
        return self.netfcaud(self.netcnnaud(mfcc[:, None]).flatten(1))

    def video(self, frames: Float[Tensor, "n 5 3 h w"]) -> Float[Tensor, "n d"]:
        """Features of video windows in [-1, 1], RGB: the network is given 224 px BGR in 0..255."""
        small = F.interpolate(frames.flatten(0, 1), (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
        pixels = ((small.clamp(-1, 1) + 1) * 127.5).flip(1).unflatten(0, (-1, frames.shape[1]))
        return self.netfclip(self.netcnnlip(pixels.transpose(1, 2)).flatten(1))

    def forward(
        self, mfcc: Float[Tensor, "n 13 20"], frames: Float[Tensor, "n 5 3 h w"]
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Features of audio and of video."""
        return self.audio(mfcc), self.video(frames)
