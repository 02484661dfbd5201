"""The toy world's small networks for 64 px faces, in place of the published networks.

`lightning_modules.standins.judges` trains them on people that no other stage uses. Each takes frames in [-1, 1] of any
size, resizes them to 64 px and needs no landmarks.
"""

import itertools

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from conventions.emotions import EMOTIONS
from metrics.speech_features import FRAMES_PER_WINDOW, NUM_MFCC

SIZE = 64
FACE = (slice(10, 58), slice(8, 56))
"""Rows and columns of the face in the training crop (`wide-v1`) at 64 px: emotion and identity look at these 48 px."""


def at_judge_size(images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 s s"]:
    """Images at 64 px; larger ones are smoothed as they shrink."""
    if images.shape[-2:] == (SIZE, SIZE):
        return images
    return F.interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)


def face_window(images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 e e"]:
    """The 48 px around the face of an image at 64 px."""
    return at_judge_size(images)[:, :, *FACE]


def stage(inputs: int, outputs: int, stride: int = 2) -> nn.Sequential:
    """3 x 3 convolution, batch norm, ReLU."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Trunk(nn.Module):
    """Four halvings of an image, to `width`, 2, 3 and 4 times `width` channels; `fine` sees every pixel first."""

    def __init__(self, width: int, fine: bool = False) -> None:
        super().__init__()
        first = nn.Sequential(stage(3, width, stride=1), nn.MaxPool2d(2)) if fine else stage(3, width)
        widths = (width, 2 * width, 3 * width, 4 * width)
        self.stages = nn.ModuleList([first, *(stage(a, b) for a, b in itertools.pairwise(widths))])

    def maps(self, images: Float[Tensor, "t 3 h w"]) -> list[Float[Tensor, "t _c _h _w"]]:
        """The maps after each stage."""
        maps, current = [], images.contiguous(memory_format=torch.channels_last)
        for part in self.stages:
            current = part(current)
            maps.append(current)
        return maps

    def forward(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t c _h _w"]:
        """The last map."""
        return self.maps(images)[-1]


class LandmarkJudge(nn.Module):
    """68 landmarks as the centres of mass of 68 heat maps over the face's window."""

    name = "judge (64 px)"
    stand_in = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(width, fine=True)
        self.middle = stage(7 * width, 3 * width, stride=1)
        self.fine = stage(5 * width, 2 * width, stride=1)
        self.heat = nn.Conv2d(2 * width, 68, 1)
        self.offset = nn.Parameter(torch.zeros(68, 2))

    def forward(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 68 2"]:
        """Landmarks of frames of any size, (x, y) in [-1, 1]; this network always finds a face."""
        _, coarse, middle, last = self.trunk.maps(face_window(images))
        middle = self.middle(torch.cat([F.interpolate(last, middle.shape[-2:]), middle], dim=1))
        fine = self.fine(torch.cat([F.interpolate(middle, coarse.shape[-2:]), coarse], dim=1))
        heat = self.heat(fine).flatten(2).softmax(dim=2).unflatten(2, fine.shape[-2:])
        y, x = (cell_centres(part, count, heat) for part, count in zip(FACE, fine.shape[-2:], strict=True))
        centres = torch.stack([heat.sum(dim=2) @ x, heat.sum(dim=3) @ y], dim=-1)
        return centres + self.offset

    def landmarks(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 68 2"]:
        """As `forward`."""
        return self(images)


def cell_centres(window: slice, count: int, like: Tensor) -> Float[Tensor, " cells"]:
    """Centres of `count` equal cells of a window of the 64 px image, in [-1, 1]."""
    steps = (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count
    return (window.start + steps * (window.stop - window.start)) * 2 / SIZE - 1


class EmotionJudge(nn.Module):
    """The eight emotions from one frame; EFD compares the layer before the classes."""

    name = "judge (64 px)"
    stand_in = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = Trunk(width, fine=True)
        self.embedding = nn.Linear(36 * width, 6 * width)
        self.classes = nn.Linear(6 * width, len(EMOTIONS))

    def features(self, images: Float[Tensor, "t 3 h w"], landmarks: Tensor | None = None) -> Float[Tensor, "t d"]:
        """Features for EFD, not negative."""
        return self.embedding(self.trunk(face_window(images)).flatten(1)).relu()

    def forward(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 8"]:
        """Logits of `EMOTIONS`."""
        return self.classes(self.features(images))

    def probabilities(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t 8"]:
        """Probabilities of `EMOTIONS`."""
        return self(images).softmax(dim=1)

    def outputs(
        self, images: Float[Tensor, "t 3 h w"], landmarks: Tensor | None = None
    ) -> tuple[Float[Tensor, "t d"], Float[Tensor, "t 8"]]:
        """Features for EFD, and probabilities of `EMOTIONS`."""
        features = self.features(images)
        return features, self.classes(features).softmax(dim=1)


class IdentityJudge(nn.Module):
    """A unit embedding that is alike for images of one person."""

    name = "judge (64 px)"
    stand_in = True

    def __init__(self, width: int, dimension: int = 64) -> None:
        super().__init__()
        self.trunk = Trunk(width, fine=True)
        self.embedding = nn.Linear(36 * width, dimension)

    def embed(self, images: Float[Tensor, "t 3 h w"], landmarks: Tensor | None = None) -> Float[Tensor, "t d"]:
        """Embeddings of length 1."""
        return F.normalize(self.embedding(self.trunk(face_window(images)).flatten(1)), dim=1)


class SyncJudge(nn.Module):
    """SyncNet in small: five lower half faces against twenty MFCC steps.

    Embeddings have length 1 plus a constant coordinate 1, which leaves every distance as it is except that to the
    zero vector with which the protocol pads a clip: sqrt(2), that of two unrelated embeddings.
    """

    name = "judge (64 px)"
    stand_in = True
    own_crop = False
    trusted = 0.0
    mfcc_mean: Tensor
    mfcc_scale: Tensor

    def __init__(self, width: int, dimension: int = 64) -> None:
        super().__init__()
        self.picture = nn.Sequential(
            stage(3 * FRAMES_PER_WINDOW, 2 * width), stage(2 * width, 3 * width), stage(3 * width, 4 * width),
            nn.Flatten(), nn.Linear(4 * width * 32, dimension),
        )  # fmt: skip
        self.sound = nn.Sequential(
            stage(1, width, 1), stage(width, 2 * width), stage(2 * width, 4 * width),
            nn.Flatten(), nn.Linear(4 * width * 20, dimension),
        )  # fmt: skip
        self.register_buffer("mfcc_mean", torch.zeros(NUM_MFCC, 1))
        self.register_buffer("mfcc_scale", torch.ones(NUM_MFCC, 1))

    def audio(self, mfcc: Float[Tensor, "n 13 20"]) -> Float[Tensor, "n d"]:
        """Embeddings of audio windows."""
        return with_constant(self.sound(((mfcc - self.mfcc_mean) / self.mfcc_scale)[:, None]))

    def video(self, frames: Float[Tensor, "n 5 3 h w"]) -> Float[Tensor, "n d"]:
        """Embeddings of image windows."""
        small = at_judge_size(frames.flatten(0, 1)).unflatten(0, (-1, FRAMES_PER_WINDOW))
        return self.lower_halves(small[..., SIZE // 2 :, :])

    def standardise(self, mfcc: Float[Tensor, "n 13 20"]) -> None:
        """Take the moments of these sounds for those of all."""
        self.mfcc_mean.copy_(mfcc.mean(dim=(0, 2))[:, None])
        self.mfcc_scale.copy_(mfcc.std(dim=(0, 2))[:, None].clamp(min=1e-3))

    def lower_halves(self, halves: Float[Tensor, "n 5 3 32 64"]) -> Float[Tensor, "n d"]:
        """Embeddings of the lower halves of windows at 64 px."""
        return with_constant(self.picture(halves.flatten(1, 2)))


def with_constant(embedding: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
    """Embeddings scaled to length 1, with one more coordinate that is 1."""
    return F.pad(F.normalize(embedding, dim=1), (0, 1), value=1.0)


class JudgeFeatures:
    """Stand-in of FID's Inception: the features of the emotion and the identity judge side by side."""

    name = "judges (64 px)"
    stand_in = True

    def __init__(self, emotion: EmotionJudge, identity: IdentityJudge) -> None:
        self.emotion, self.identity = emotion, identity
        self.num_features = emotion.embedding.out_features + identity.embedding.out_features

    def features(self, images: Float[Tensor, "t 3 h w"]) -> Float[Tensor, "t d"]:
        """Features of frames of any size."""
        return torch.cat([self.emotion.features(images), self.identity.embed(images)], dim=1)


class JudgePerceptual:
    """Stand-in of LPIPS: its formula over the maps of some trunks, every channel weighted alike."""

    name = "judges (64 px)"
    stand_in = True

    def __init__(self, *trunks: Trunk) -> None:
        self.trunks = trunks

    def distance(self, generated: Float[Tensor, "t 3 h w"], true: Float[Tensor, "t 3 h w"]) -> Float[Tensor, " t"]:
        """Mean over trunks and layers of the squared distance of unit channel vectors."""
        found, wanted = self.maps(generated), self.maps(true)
        parts = [(F.normalize(x) - F.normalize(y)).square() for x, y in zip(found, wanted, strict=True)]
        return torch.stack([part.sum(dim=1).mean(dim=(1, 2)) for part in parts]).mean(dim=0)

    def maps(self, images: Float[Tensor, "t 3 h w"]) -> list[Float[Tensor, "t _c _h _w"]]:
        """The maps of all trunks."""
        return [m for trunk in self.trunks for m in trunk.maps(face_window(images))]
