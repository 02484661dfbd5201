"""How far a mouth is open, brows are raised and lids are apart, by the face model's landmarks.

How far the mouth is open is also read off coefficients whose model is not at hand.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from face3d.coefficients import EXPRESSION
from face3d.keypoints import BROWS
from face3d.morphable import MorphableModel, keypoint_model
from lightning_modules.eac.losses import LOWER_INNER_LIP, MILLIMETRES, UPPER_INNER_LIP, mouth_opening

UPPER_LIDS, LOWER_LIDS = (37, 38, 43, 44), (40, 41, 46, 47)
"""Landmarks of both eyes' lids."""

EYE_CORNERS = (36, 45)
"""Outer corners of the eyes among the 68 iBUG landmarks."""

MAX_CLIPS = 24
RIDGE = 1.0
FOLLOWS = 0.5
"""Correlation with the images' lips, on the half of a clip's frames left out, below which a readout means nothing."""

Readout = Callable[[Float[Tensor, "t 64"]], Float[Tensor, " t"]]
"""Expression coefficients -> how far the mouth is open, in any unit."""


def measured_opening(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, " t"]:
    """Distance of the inner lips on images, as a share of the distance between the outer eye corners."""
    lips = (landmarks[:, LOWER_INNER_LIP] - landmarks[:, UPPER_INNER_LIP]).norm(dim=-1)
    return lips / (landmarks[:, EYE_CORNERS[0]] - landmarks[:, EYE_CORNERS[1]]).norm(dim=-1)


def fit_readout(expression: Float[Tensor, "n 64"], opening: Float[Tensor, " n"]) -> Float[Tensor, "64"]:
    """Ridge regression of openings on coefficients, both centred by the caller; weights of the coefficients."""
    expression, opening = expression.double(), opening.double()
    gram = expression.T @ expression + RIDGE * torch.eye(expression.shape[1], dtype=torch.float64)
    return torch.linalg.solve(gram, expression.T @ opening).float()


def model_readout(basis: Float[Tensor, "e 20 3"]) -> Readout:
    """The face model's own lips, in mm."""
    return lambda expression: mouth_opening(expression, basis)


def part_readouts(model: MorphableModel) -> dict[str, Readout]:
    """Brow (mean height of both) and lids (mean distance of both eyes') of a face model, in mm beyond rest."""
    height = keypoint_model(model).expression_basis[..., 1] * MILLIMETRES
    upper, lower = height[:, list(UPPER_LIDS)].mean(1), height[:, list(LOWER_LIDS)].mean(1)
    axes = {"brow": height[:, BROWS].mean(1), "lids": upper - lower}
    return {name: partial(_along, axis=axis) for name, axis in axes.items()}


def _along(expression: Float[Tensor, "t 64"], axis: Float[Tensor, " e"]) -> Float[Tensor, " t"]:
    return expression[:, : len(axis)] @ axis.to(expression)


def data_readout(data: Any, clips: Iterable[Any], device: torch.device) -> Readout | None:
    """Fitted to landmarks of clips with coefficients, each clip centred.

    None where no clip has landmarks, or where the coefficients do not follow the images (those of others).
    """
    pairs = [_centred(data.clip_item(clip)) for clip in list(clips)[:MAX_CLIPS]]
    pairs = [pair for pair in pairs if len(pair[1]) > 3]
    if not pairs or not _left_out(pairs) >= FOLLOWS:  # also where it is NaN
        return None
    weights = _fit(pairs).to(device)
    return lambda expression: expression @ weights


Pair = tuple[Float[Tensor, "n 64"], Float[Tensor, " n"]]


def _centred(item: Any) -> Pair:
    """Coefficients and openings of the frames that have landmarks."""
    opening, expression = measured_opening(item.landmarks), item.coefficients[:, EXPRESSION]
    known = torch.isfinite(opening)
    expression, opening = expression[known], opening[known]
    return expression - expression.mean(0), opening - opening.mean()


def _fit(pairs: Sequence[Pair]) -> Float[Tensor, "64"]:
    return fit_readout(torch.cat([expression for expression, _ in pairs]), torch.cat([opening for _, opening in pairs]))


def _left_out(pairs: Sequence[Pair]) -> float:
    """Correlation of openings with those read out, fitted on the first half of every clip, on the second halves."""
    first = [(expression[: len(opening) // 2], opening[: len(opening) // 2]) for expression, opening in pairs]
    rest = [(expression[len(opening) // 2 :], opening[len(opening) // 2 :]) for expression, opening in pairs]
    read = torch.cat([expression for expression, _ in rest]) @ _fit(first)
    return torch.corrcoef(torch.stack([read, torch.cat([opening for _, opening in rest])]))[0, 1].item()
