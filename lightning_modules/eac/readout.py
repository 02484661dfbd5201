"""How far a mouth is open: by the face model's lips, or read off coefficients whose model is not at hand."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from face3d.coefficients import EXPRESSION
from lightning_modules.eac.losses import LOWER_INNER_LIP, UPPER_INNER_LIP, mouth_opening

EYE_CORNERS = (36, 45)
"""Outer corners of the eyes among the 68 iBUG landmarks."""

MAX_CLIPS = 24
RIDGE = 1.0

Readout = Callable[[Float[Tensor, "t 64"]], Float[Tensor, " t"]]
"""Expression coefficients -> how far the mouth is open, in any unit."""


def measured_opening(landmarks: Float[Tensor, "t 68 2"]) -> Float[Tensor, " t"]:
    """Distance of the inner lips on pictures, as a share of the distance between the outer eye corners."""
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


def data_readout(data: Any, clips: Iterable[Any], device: torch.device) -> Readout | None:
    """Fitted to landmarks of clips with coefficients, each clip centred; None where no landmark is known."""
    expressions, openings = [], []
    for clip in list(clips)[:MAX_CLIPS]:
        item = data.clip_item(clip)
        opening, expression = measured_opening(item.landmarks), item.coefficients[:, EXPRESSION]
        known = torch.isfinite(opening)
        if known.sum() > 1:
            expressions.append(expression[known] - expression[known].mean(0))
            openings.append(opening[known] - opening[known].mean())
    if not openings:
        return None
    weights = fit_readout(torch.cat(expressions), torch.cat(openings)).to(device)
    return lambda expression: expression @ weights
