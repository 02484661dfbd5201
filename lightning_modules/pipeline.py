"""The three modules joined: emotion, speech and portrait to frames."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.mead import ClipItem, Reference
from face3d.coefficients import ANGLE, EXPRESSION, IDENTITY, TEXTURE, TRANSLATION
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.generator import Portrait
from lightning_modules.hef.layers import resize
from lightning_modules.hef.module import HEFModule

CHUNK = 16
"""Frames that HEF draws at once."""


@dataclass(frozen=True)
class Talking:
    """A generated clip of t frames."""

    frames: Float[Tensor, "t 3 r r"]
    """RGB in [-1, 1]."""
    coefficients: Float[Tensor, "t 257"]
    """3DMM vectors that drove it."""
    flow: Float[Tensor, "t 2 r r"]
    """The generator's flow at full size, in normalised units."""
    render: Float[Tensor, "t 3 r r"]
    """Images of the 3DMM in [-1, 1]."""


@dataclass(frozen=True)
class Pipeline:
    """From emotion, speech and portrait to frames: the modules of one run."""

    encoder: EmotionEncoder
    """Emotion space of EAC."""
    eac: EACModule
    """Speech and emotion to expression."""
    hef: HEFModule
    """Portrait, expression and emotion to frames."""
    hef_encoder: EmotionEncoder
    """Emotion space of HEF; the same as `encoder` unless the two stages were trained with different ones."""

    @torch.no_grad()
    def talk(self, item: ClipItem, source: Reference, code: EmotionCode, hef_code: EmotionCode) -> Talking:
        """Let a portrait speak the audio of a clip.

        The head moves as in the clip, or as EAC predicts it where it does so (`eac.pose`).

        Args:
            item: the clip: its speech, and the pose of its head.
            source: the portrait.
            code: one emotion, from `encoder`.
            hef_code: the same emotion, from `hef_encoder`.

        Returns:
            As many frames as the clip has.
        """
        device = self.eac.device
        identity = source.coefficients.to(device)[None]
        expression = self.eac.predict_speech(item.speech.to(device), code, identity[:, IDENTITY])
        coefficients, placement = driving(item.coefficients.to(device), identity, expression), item.placement.to(device)
        if self.eac.config.pose:
            head = self.eac.predict_head(item.speech.to(device), code, identity)
            coefficients[:, ANGLE], coefficients[:, TRANSLATION] = head.split(3, dim=1)
            placement = source.placement.to(device).expand_as(placement)
        return self.draw(source, coefficients, placement, hef_code)

    def encode(self, source: Reference) -> Portrait:
        """Encode a portrait, once for all its frames.

        Args:
            source: the portrait.

        Returns:
            What HEF needs of it.
        """
        parts = (source.image, source.coefficients, source.placement)
        return self.hef.encode_source(*(part.to(self.hef.device)[None] for part in parts))

    def draw(self, source: Reference, coefficients: Tensor, placement: Tensor, code: EmotionCode) -> Talking:
        """Draw frames of a portrait, `CHUNK` at a time.

        Args:
            source: the portrait.
            coefficients: 3DMM vectors [t, 257] that the frames are to show.
            placement: (scale, x, y) [t, 3] of each camera frame inside the crop, in normalised units.
            code: one emotion, from `hef_encoder`.

        Returns:
            The frames with their flow and render.
        """
        encoded, size = self.encode(source), source.image.shape[-1]
        parts: list[list[Tensor]] = []
        for rows, places in zip(coefficients.split(CHUNK), placement.split(CHUNK), strict=True):
            made = self.hef.drive(encoded, rows, places, code.repeat(len(rows)))
            render = self.hef.geometry(rows, places)[:, :3]
            parts.append([made.image, resize(made.flows.flows[-1], size), render])
        frames, flow, render = (torch.cat(column) for column in zip(*parts, strict=True))
        return Talking(frames.clamp(-1, 1), coefficients, flow, render)


def driving(
    true: Float[Tensor, "t 257"], source: Float[Tensor, "1 257"], expression: Float[Tensor, "t 64"]
) -> Float[Tensor, "t 257"]:
    """Pose, light and place of the true clip, face and skin of the source, and the predicted expression."""
    driven = true.clone()
    driven[:, IDENTITY], driven[:, TEXTURE] = source[:, IDENTITY], source[:, TEXTURE]
    driven[:, EXPRESSION] = expression
    return driven
