"""EAC's losses, each a small function of expression coefficients [b, t, 64] and a mask."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from face3d.coefficients import ANGLE, TRANSLATION
from face3d.keypoints import LOWER_INNER_LIP, MOUTH, UPPER_INNER_LIP
from face3d.morphable import MorphableModel, keypoint_model

OPENING_FLOOR = 1e-4
"""Square millimetres below which a mouth counts as still."""

MILLIMETRES = 100.0
"""In one unit (decimetre) of the face models."""


def masked_mean(values: Float[Tensor, "b t *rest"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, ""]:
    """Mean over what the mask shows."""
    shown = mask.reshape(*mask.shape, *[1] * (values.ndim - 2)).to(values.dtype)
    size = values[0, 0].numel()
    return (values * shown).sum() / (shown.sum() * size).clamp(min=1)


def time_mean(values: Float[Tensor, "b t *d"], mask: Bool[Tensor, "b t *one"]) -> Float[Tensor, "b 1 *d"]:
    """Mean over the frames that the mask shows; the mask has as many axes as the values."""
    shown = mask.to(values.dtype)
    return (values * shown).sum(1, keepdim=True) / shown.sum(1, keepdim=True).clamp(min=1)


def with_mean_share(
    predicted: Float[Tensor, "b t 64"], true: Float[Tensor, "b t 64"], mask: Bool[Tensor, "b t"], share: float
) -> Float[Tensor, "b t 64"]:
    """The prediction with that share of the error of each stretch's mean left in it."""
    if share == 1:
        return predicted
    return predicted - (1 - share) * time_mean(predicted - true, mask[..., None])


def coefficient_loss(
    predicted: Float[Tensor, "b t 64"],
    true: Float[Tensor, "b t 64"],
    mask: Bool[Tensor, "b t"],
    deviation: Float[Tensor, "64"],
) -> Float[Tensor, ""]:
    """Mean squared error in units of each coefficient's standard deviation."""
    return masked_mean(((predicted - true) / deviation).square(), mask)


def velocity_loss(
    predicted: Float[Tensor, "b t 64"],
    true: Float[Tensor, "b t 64"],
    mask: Bool[Tensor, "b t"],
    deviation: Float[Tensor, "64"],
) -> Float[Tensor, ""]:
    """`coefficient_loss` of the differences between neighbouring frames."""
    both = mask[:, 1:] & mask[:, :-1]
    return coefficient_loss(predicted.diff(dim=1), true.diff(dim=1), both, deviation)


def mouth_basis(model: MorphableModel) -> Float[Tensor, "e 20 3"]:
    """Displacement in mm of the 20 mouth landmarks for each expression axis."""
    return keypoint_model(model).expression_basis[:, MOUTH] * MILLIMETRES


def mouth_loss(
    predicted: Float[Tensor, "b t 64"],
    true: Float[Tensor, "b t 64"],
    mask: Bool[Tensor, "b t"],
    basis: Float[Tensor, "e 20 3"],
) -> Float[Tensor, ""]:
    """Mean distance in mm of the mouth landmarks in model space; pose and identity drop out."""
    difference = (predicted - true)[..., : len(basis)]
    displacement = torch.einsum("bte,evc->btvc", difference, basis)
    return masked_mean((displacement.square().sum(-1) + 1e-8).sqrt(), mask)


def mouth_opening(expression: Float[Tensor, "*b 64"], basis: Float[Tensor, "e 20 3"]) -> Float[Tensor, "*b"]:
    """How much farther apart than at rest the inner lips are, in mm."""
    axis = basis[:, UPPER_INNER_LIP - MOUTH.start, 1] - basis[:, LOWER_INNER_LIP - MOUTH.start, 1]
    return expression[..., : len(basis)] @ axis


def pose_of(coefficients: Float[Tensor, "*b 257"]) -> Float[Tensor, "*b 6"]:
    """Angles in units of 0.1 rad and translation in cm (0.1 decimetres)."""
    return 10 * torch.cat([coefficients[..., ANGLE], coefficients[..., TRANSLATION]], dim=-1)


def pose_loss(
    predicted: Float[Tensor, "b t 6"], true: Float[Tensor, "b t 6"], mask: Bool[Tensor, "b t"]
) -> Float[Tensor, ""]:
    """Mean squared error of the motion about each sequence's mean pose, and of its velocity."""
    error, both = predicted - true, mask[:, 1:] & mask[:, :-1]
    about_mean = error - time_mean(error, mask[..., None])
    return masked_mean(about_mean.square(), mask) + masked_mean(error.diff(dim=1).square(), both)


def opening_loss(
    predicted: Float[Tensor, "b t 64"],
    true: Float[Tensor, "b t 64"],
    mask: Bool[Tensor, "b t"],
    basis: Float[Tensor, "e 20 3"],
) -> Float[Tensor, ""]:
    """Mean of 1 - Pearson's correlation of the mouth's opening over each stretch."""

    def centred(expression: Tensor) -> Tensor:
        opening = mouth_opening(expression, basis)
        return (opening - time_mean(opening, mask)) * mask

    one, other = centred(predicted), centred(true)
    scale = ((one.square().sum(1) + OPENING_FLOOR) * (other.square().sum(1) + OPENING_FLOOR)).sqrt()
    return (1 - (one * other).sum(1) / scale).mean()


def emotion_loss(predicted: Float[Tensor, "n d"], true: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean cosine distance of emotion features."""
    return (1 - F.cosine_similarity(predicted, true, dim=-1)).mean()


def random_frames(mask: Bool[Tensor, "b t"], num_frames: int) -> Int[Tensor, "b n"]:
    """Random frames of each sequence among those that the mask shows."""
    return torch.multinomial(mask.float(), num_frames, replacement=True)
