"""What a landmark fit makes small: projection, its Jacobian, priors, and the normal equations of one step."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from face3d import camera
from face3d.morphable import MorphableModel

NOISE = 0.01
"""Expected error of a landmark, in normalised units (1.3 px at 256)."""

OUTLIER = 0.03
"""Beyond this distance a landmark pulls with constant force (Huber), in normalised units."""

NAMED_RANGE = (0.0, 1.25)
"""Strength of a named movement (ARKit or action unit) cannot be negative and hardly exceeds its full natural one."""

FREE_RANGE = (-4.0, 4.0)
"""Range, in standard deviations, of coefficients of a statistical basis."""

FREE_DEVIATION = 1.0
"""Standard deviation of the prior on an expression coefficient of a statistical basis."""

NAMED_DEVIATION, NAMED_MEAN = 0.5, 0.2
"""Prior on a named movement: half-normal of this deviation times exponential of this mean, so that few act at once."""

RESIDUAL_DEVIATION = 0.2
"""Standard deviation of the prior on the procedural head's residual axes, which are no movement of their own."""

DISTANCE_DEVIATION = 0.4
"""Standard deviation of the head's distance from the camera, in decimetres: the aligned frame keeps it near 10."""


@dataclass(frozen=True)
class Problem:
    """Landmarks to reach, in float64, and the reduced model that should reach them."""

    model: MorphableModel
    target: Float[Tensor, "t 68 2"]
    weights: Float[Tensor, "t 68"]
    placement: Float[Tensor, "t 3"]

    def at(self, frames: Tensor | slice) -> "Problem":
        """The same problem on some of the frames."""
        return replace(self, target=self.target[frames], weights=self.weights[frames], placement=self.placement[frames])


@dataclass
class State:
    """Parameters: shared identity [80 axes + 136 landmark biases], and per frame expression [t, 64] and pose [t, 6].

    A pose is three angles in rad and a translation in decimetres.
    """

    identity: Tensor
    expression: Tensor
    pose: Tensor

    def shape(self, model: MorphableModel) -> Float[Tensor, "t 68 3"]:
        """The 68 points of each frame in model space."""
        return model.shape(self.identity.expand(len(self.expression), -1), self.expression)


def linearise(problem: Problem, state: State) -> tuple[Tensor, Tensor]:
    """Residual [t, 68, 2], and the Jacobian [t, 68, 2, n] of the projection to identity, expression and pose."""
    model, angle = problem.model, state.pose[:, :3]
    shape = state.shape(model)
    turn = camera.rotation(angle)
    points = camera.to_camera(shape, angle, state.pose[:, 3:])
    x, y, z = points.unbind(-1)
    focal = problem.placement[:, :1] * camera.NDC_FOCAL
    zero = torch.zeros_like(z)
    to_image = torch.stack(
        [
            torch.stack([focal / z, zero, focal * x / z**2], dim=-1),
            torch.stack([zero, -focal / z, -focal * y / z**2], dim=-1),
        ],
        dim=-2,
    )
    basis = torch.cat([model.identity_basis, model.expression_basis])
    to_basis = torch.einsum("tkdi,nki->tkdn", to_image @ turn.mT[:, None], basis)
    turned = shape @ turn
    to_angle = to_image @ torch.stack([torch.linalg.cross(w, turned) for w in _axes(angle, turn)], dim=-1)
    residual = problem.target - camera.to_image(points, problem.placement)
    return residual, torch.cat([to_basis, to_angle, to_image], dim=-1)


def _axes(angle: Tensor, turn: Tensor) -> list[Tensor]:
    """The axis about which each angle turns the already turned points, [t, 1, 3] each."""
    cos, sin, zero = torch.cos(angle[:, 2]), torch.sin(angle[:, 2]), torch.zeros_like(angle[:, 2])
    about_y = torch.stack([-sin, cos, zero], dim=-1)[:, None]
    about_z = torch.stack([zero, zero, zero + 1], dim=-1)[:, None]
    return [turn[:, :1], about_y, about_z]


def normal_equations(problem: Problem, residual: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """J^T W J [t, n, n] and J^T W r [t, n], with Huber weights at the present residual."""
    distance = residual.norm(dim=-1)
    weights = problem.weights / NOISE**2 * (OUTLIER / distance.clamp(min=OUTLIER))
    weighted = (jacobian * weights[..., None, None]).flatten(1, 2)
    return weighted.mT @ jacobian.flatten(1, 2), (weighted.mT @ residual.flatten(1)[..., None])[..., 0]


class ExpressionPrior(NamedTuple):
    """Range, normal deviation and exponential rate of each expression coefficient, [64] each."""

    low: Tensor
    high: Tensor
    deviation: Tensor
    rate: Tensor


def expression_prior(model: MorphableModel) -> ExpressionPrior:
    """The prior of a model's expression axes: named movements, residual axes, or a statistical basis."""
    named = (*NAMED_RANGE, NAMED_DEVIATION, 1 / NAMED_MEAN)
    residual, free = (*FREE_RANGE, RESIDUAL_DEVIATION, 0.0), (*FREE_RANGE, FREE_DEVIATION, 0.0)
    names = model.expression_names or ("",) * len(model.expression_basis)
    rows = [residual if name.startswith("residual") else named if name else free for name in names]
    return ExpressionPrior(*torch.tensor(rows, dtype=torch.float64).unbind(1))


def add_frame_priors(model: MorphableModel, square: Tensor, pull: Tensor, state: State) -> "ExpressionPrior":
    """Add the priors on expression and distance to the normal equations, in place."""
    prior, num = expression_prior(model), state.expression.shape[1]
    pull[:, :num] -= state.expression / prior.deviation**2 + prior.rate
    pull[:, -1] -= state.pose[:, -1] / DISTANCE_DEVIATION**2
    diagonal = torch.diagonal(square, dim1=-2, dim2=-1)
    diagonal[:, :num] += 1 / prior.deviation**2
    diagonal[:, num:] += 1e-6
    diagonal[:, -1] += 1 / DISTANCE_DEVIATION**2
    return prior


def cost(problem: Problem, state: State) -> Tensor:
    """What the fit makes small: mean over frames of robust misfit and priors, plus the prior on identity."""
    points = camera.to_camera(state.shape(problem.model), state.pose[:, :3], state.pose[:, 3:])
    distance = (problem.target - camera.to_image(points, problem.placement)).norm(dim=-1)
    huber = torch.where(distance < OUTLIER, distance**2, (2 * distance - OUTLIER) * OUTLIER)
    prior = expression_prior(problem.model)
    frame = (problem.weights * huber).sum(1) / NOISE**2 + (state.pose[:, 5] / DISTANCE_DEVIATION) ** 2
    frame += ((state.expression / prior.deviation) ** 2 + 2 * prior.rate * state.expression).sum(1)
    return frame.mean() + (state.identity**2).sum()
