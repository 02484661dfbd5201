"""The 257-number 3DMM vector of Deep3DFaceRecon: id 80 | exp 64 | tex 80 | angle 3 | gamma 27 | trans 3."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

NUM_COEFFICIENTS = 257

IDENTITY = slice(0, 80)
EXPRESSION = slice(80, 144)
TEXTURE = slice(144, 224)
ANGLE = slice(224, 227)
GAMMA = slice(227, 254)
TRANSLATION = slice(254, 257)


@dataclass(frozen=True)
class Coefficients:
    """The six parts of a 3DMM vector."""

    identity: Float[Tensor, "*batch 80"]
    """Shape of the face, in deviations of the model."""
    expression: Float[Tensor, "*batch 64"]
    """Weights of the expression axes."""
    texture: Float[Tensor, "*batch 80"]
    """Colour of the skin, in deviations of the model."""
    angle: Float[Tensor, "*batch 3"]
    """Rotations about x, y, z in rad."""
    gamma: Float[Tensor, "*batch 27"]
    """Light: 9 spherical-harmonic bands for each of R, G, B."""
    translation: Float[Tensor, "*batch 3"]
    """In the model's units (decimetres for BFM09)."""


def split(coefficients: Float[Tensor, "*batch 257"]) -> Coefficients:
    """Split a 3DMM vector into its parts.

    Args:
        coefficients: 3DMM vectors.

    Returns:
        Views of the six parts.

    Examples:
        >>> split(torch.zeros(4, 257)).expression.shape
        torch.Size([4, 64])
    """
    parts = (IDENTITY, EXPRESSION, TEXTURE, ANGLE, GAMMA, TRANSLATION)
    return Coefficients(*(coefficients[..., part] for part in parts))


def join(parts: Coefficients) -> Float[Tensor, "*batch 257"]:
    """The 3DMM vector of six parts; the inverse of `split`."""
    return torch.cat(
        [parts.identity, parts.expression, parts.texture, parts.angle, parts.gamma, parts.translation], dim=-1
    )


def with_expression(
    coefficients: Float[Tensor, "*batch 257"], expression: Float[Tensor, "*batch 64"]
) -> Float[Tensor, "*batch 257"]:
    """The same face, pose and light with another expression.

    Args:
        coefficients: 3DMM vectors.
        expression: expression coefficients, such as EAC's output.

    Returns:
        New 3DMM vectors.

    Examples:
        >>> smiling = with_expression(torch.zeros(4, 257), torch.ones(4, 64))
        >>> smiling.sum(dim=-1)
        tensor([64., 64., 64., 64.])
    """
    return torch.cat([coefficients[..., IDENTITY], expression, coefficients[..., TEXTURE.start :]], dim=-1)
