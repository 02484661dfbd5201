"""The three modules joined: emotion, speech and portrait to frames."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from datamodules.mead import ClipItem, Reference
from face3d.coefficients import ANGLE, EXPRESSION, IDENTITY, TEXTURE, TRANSLATION
from lightning_modules.ame.emotion import EmotionCode, EmotionEncoder
from lightning_modules.eac.module import EACModule
from lightning_modules.hef.layers import resize
from lightning_modules.hef.module import HEFModule
from lightning_modules.hef.tasks import Portrait

CHUNK = 16
"""Frames that HEF draws at once."""


@dataclass(frozen=True)
class Talking:
    """A generated clip: frames [-1, 1], with the coefficients that drove it, its flow and its render."""

    frames: Float[Tensor, "t 3 r r"]
    coefficients: Float[Tensor, "t 257"]
    flow: Float[Tensor, "t 2 r r"]
    render: Float[Tensor, "t 3 r r"]


@dataclass(frozen=True)
class Pipeline:
    """Emotion, speech and portrait to frames: the three modules of one run."""

    encoder: EmotionEncoder
    eac: EACModule
    hef: HEFModule
    hef_encoder: EmotionEncoder

    @torch.no_grad()
    def talk(self, item: ClipItem, source: Reference, code: EmotionCode, hef_code: EmotionCode) -> Talking:
        """The source portrait speaking the clip's speech with the code's emotion.

        The head moves as in the clip, or as EAC predicts it where it does (`eac.pose`).
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
        """What HEF needs of a portrait, computed once for all its frames."""
        parts = (source.image, source.coefficients, source.placement)
        return self.hef.encode_source(*(part.to(self.hef.device)[None] for part in parts))

    def draw(self, source: Reference, coefficients: Tensor, placement: Tensor, code: EmotionCode) -> Talking:
        """Frames for coefficients, `CHUNK` at a time."""
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
