"""The generator: source appearance, drive geometry and emotion -> style code -> flows -> frame, coarse to fine.

With it what it works on: a training batch with all that is drawn of it, and a portrait to be driven.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from datamodules.batches import HEFBatch
from face3d.grid import warp
from lightning_modules.ame.emotion import EMOTION_DIM, TOKEN_DIM, EmotionCode
from lightning_modules.hef.config import BASE_SIZE, HEFConfig
from lightning_modules.hef.flow import FlowPyramid, Flows
from lightning_modules.hef.layers import SLOPE, ModulatedConvolution, Pyramid, convolution, join, resize


@dataclass(frozen=True)
class SourceCode:
    """What is computed once per portrait: images and features at each scale (coarsest first), and its own render."""

    images: list[Tensor]
    features: list[Tensor]
    geometry: Float[Tensor, "b 4 r r"]

    def expand(self, count: int) -> "SourceCode":
        """One portrait for `count` driven frames, without copying."""

        def grow(x: Tensor) -> Tensor:
            return x.expand(count, -1, -1, -1)

        return SourceCode([grow(x) for x in self.images], [grow(x) for x in self.features], grow(self.geometry))


@dataclass(frozen=True)
class Animation:
    """A driven frame in [-1, 1], with the flows that made it and the source warped by each of them."""

    image: Float[Tensor, "b 3 r r"]
    warped: list[Tensor]
    """[b, 3, s, s] at each scale, coarsest first: what the flow alone makes of the source."""
    flows: Flows


class Mapping(nn.Module):
    """(emotion, token, source, drive) -> style code, the meeting of the three that the paper's HEF models."""

    def __init__(self, config: HEFConfig) -> None:
        super().__init__()
        deepest, width = config.channels[0], config.style_dim
        self.emotion = nn.Linear(EMOTION_DIM + TOKEN_DIM, width)
        self.source = nn.Linear(deepest, width)
        self.drive = nn.Linear(deepest // 2, width)
        layers: list[nn.Module] = [nn.LayerNorm(3 * width)]
        for index in range(config.mapping_layers):
            layers += [nn.Linear(3 * width if index == 0 else width, width), nn.LeakyReLU(SLOPE)]
        self.layers = nn.Sequential(*layers)

    def forward(
        self,
        emotion: Float[Tensor, "b 512"],
        token: Float[Tensor, "b 64"],
        source: Float[Tensor, "b cs 8 8"],
        drive: Float[Tensor, "b cd 8 8"],
    ) -> Float[Tensor, "b d"]:
        """Style code of a frame; `emotion` is a unit vector, brought to unit variance here."""
        condition = self.emotion(torch.cat([emotion * EMOTION_DIM**0.5, token], dim=1))
        joined = torch.cat([condition, self.source(source.mean(dim=(2, 3))), self.drive(drive.mean(dim=(2, 3)))], dim=1)
        return self.layers(joined)


class SynthesisBlock(nn.Module):
    """One scale: fuse what came from below, the warped source and the drive; colour what is unseen.

    The state it hands on has the channels of the next scale already, so that upsampling it is cheap.
    """

    def __init__(self, channels: int, above: int, below: int, style_dim: int) -> None:
        super().__init__()
        self.fuse = ModulatedConvolution(below + channels + channels // 2, channels, style_dim)
        self.refine = ModulatedConvolution(channels, above, style_dim)
        self.colour = convolution(above, 3, kernel=1)
        nn.init.zeros_(self.colour.weight)

    def forward(
        self,
        below: Float[Tensor, "b cb s s"],
        warped: Float[Tensor, "b c s s"],
        drive: Float[Tensor, "b cd s s"],
        style: Float[Tensor, "b d"],
    ) -> tuple[Tensor, Tensor]:
        """(new state, image residual)."""
        state = self.fuse(join(below, warped, drive), style)
        state = self.refine(state, style)
        return state, self.colour(state)


class Synthesis(nn.Module):
    """From flows to the frame: at each scale the warped source where it is visible over the frame so far, upsampled,
    plus a residual that draws what neither shows (teeth, wrinkles, shadows).
    """

    def __init__(self, config: HEFConfig) -> None:
        super().__init__()
        self.sizes, channels = config.sizes, config.channels
        above, below = (*channels[1:], channels[-1]), (0, *channels[1:])
        self.blocks = nn.ModuleList(
            SynthesisBlock(*numbers, config.style_dim) for numbers in zip(channels, above, below, strict=True)
        )

    def forward(
        self, source: SourceCode, drive: list[Tensor], flows: Flows, style: Float[Tensor, "b d"]
    ) -> tuple[Tensor, list[Tensor]]:
        """(frame, the source warped at each scale)."""
        state, image = drive[0][:, :0], torch.zeros_like(source.images[0])
        warped_images: list[Tensor] = []
        for scale, (size, block) in enumerate(zip(self.sizes, self.blocks, strict=True)):
            flow, visible = flows.at(scale, size)
            both = warp(torch.cat([source.features[scale], source.images[scale]], dim=1).float(), flow)
            features, warped = both.split([both.shape[1] - 3, 3], dim=1)
            seen = (features * visible).to(drive[scale].dtype)
            state, residual = block(resize(state, size), seen, drive[scale], style)
            image = torch.lerp(resize(image, size), warped, visible) + residual.float()
            warped_images.append(warped)
        return image, warped_images


class Generator(nn.Module):
    """HEF's generator: `encode_source` once per portrait, then `drive` once per frame."""

    def __init__(self, config: HEFConfig) -> None:
        super().__init__()
        self.sizes, self.knows_motion = config.sizes, config.knows_motion
        self.source_encoder = Pyramid(3, config.channels)
        self.drive_encoder = Pyramid(4 + 4 + 3 * config.knows_motion, tuple(c // 2 for c in config.channels))
        self.mapping = Mapping(config)
        self.flow = FlowPyramid(config)
        self.synthesis = Synthesis(config)

    def encode_source(self, image: Float[Tensor, "b 3 r r"], geometry: Float[Tensor, "b 4 r r"]) -> SourceCode:
        """A portrait in [-1, 1] and its own render (image in [-1, 1], mask), as what `drive` needs of them."""
        images = [resize(image, size) for size in self.sizes]
        return SourceCode(images, self.source_encoder(image), geometry)

    def drive(
        self,
        source: SourceCode,
        geometry: Float[Tensor, "b 4 r r"],
        motion: Float[Tensor, "b 3 r r"] | None,
        emotion: Float[Tensor, "b 512"],
        token: Float[Tensor, "b 64"],
    ) -> Animation:
        """The frame of the source with the wanted face.

        `geometry` is its render and mask; `motion` is the 3DMM's own flow: offsets of seen skin in
        normalised units (0 elsewhere), and where it is seen. It has no effect with `hef.motion` rendered.
        """
        known = [geometry, source.geometry]
        if self.knows_motion:
            assert motion is not None, "hef.motion=projected needs the motion"
            known.append(torch.cat([motion[:, :2] * (BASE_SIZE / 2), motion[:, 2:]], dim=1))
        else:
            motion = None
        drive = self.drive_encoder(join(*known))
        style = self.mapping(emotion, token, source.features[0], drive[0])
        flows = self.flow(source.features, drive, motion, style)
        image, warped = self.synthesis(source, drive, flows, style)
        return Animation(image, warped, flows)

    def forward(
        self,
        image: Float[Tensor, "b 3 r r"],
        source_geometry: Float[Tensor, "b 4 r r"],
        geometry: Float[Tensor, "b 4 r r"],
        motion: Float[Tensor, "b 3 r r"] | None,
        emotion: Float[Tensor, "b 512"],
        token: Float[Tensor, "b 64"],
    ) -> Animation:
        """Both parts at once."""
        return self.drive(self.encode_source(image, source_geometry), geometry, motion, emotion, token)


@dataclass(frozen=True)
class Task:
    """A batch with its renders, motion and emotion codes, computed once for both losses."""

    frames: HEFBatch
    source: Float[Tensor, "b 4 r r"]
    """Render and mask of the source's face."""
    target: Float[Tensor, "b 4 r r"]
    """Render and mask of the target's face."""
    motion: Float[Tensor, "b 3 r r"] | None
    """The 3DMM's own flow (x, y) and where it is seen; None where neither generator nor augmentation needs it."""
    keypoints: Float[Tensor, "b 68 2"]
    """Landmarks of the target's face, (x, y) in [-1, 1] across the frame."""
    region: Float[Tensor, "b 1 r r"]
    """Soft map of mouth and eyes."""
    code: EmotionCode


@dataclass(frozen=True)
class Portrait:
    """What is computed once per portrait; from the coefficients follows the motion to each driven frame."""

    code: SourceCode
    coefficients: Float[Tensor, "b 257"]
    placement: Float[Tensor, "b 3"]

    def expand(self, count: int) -> "Portrait":
        """One portrait for `count` driven frames, without copying."""
        return Portrait(self.code.expand(count), self.coefficients.expand(count, -1), self.placement.expand(count, -1))
