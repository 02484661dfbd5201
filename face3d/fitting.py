"""Coefficients from landmarks: pose, a shared identity and each frame's expression, by damped Gauss-Newton.

Least squares on the 68 landmarks with normal priors on the coefficients and Huber weights against outliers. Identity is
found jointly on a spread of frames (the frames' own parameters eliminated by Schur complement), then every frame is
solved for itself, all in one batch. Texture and light cannot be seen in landmarks and stay 0.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from face3d import camera
from face3d.coefficients import Coefficients, join
from face3d.keypoints import JAW, NUM_KEYPOINTS
from face3d.morphable import MorphableModel, keypoint_model

JAW_WEIGHT = 0.25
"""The jaw line slides over the skin as the head turns: it counts less."""

NOISE = 0.01
"""Expected error of a landmark, in normalised units (1.3 px at 256)."""

OUTLIER = 0.03
"""Beyond this distance a landmark pulls with constant force (Huber), in normalised units."""

NAMED_RANGE = (0.0, 1.25)
"""Strength of a named movement (ARKit or action unit) cannot be negative and hardly exceeds its full natural one."""

FREE_RANGE = (-4.0, 4.0)
"""Range, in standard deviations, of coefficients of a statistical basis."""

NAMED_DEVIATION, FREE_DEVIATION = 0.4, 1.0
"""Standard deviation of the prior on an expression coefficient, for named movements and for statistical axes."""

IDENTITY_FRAMES = 24
POSE_STEPS, JOINT_STEPS, FRAME_STEPS = 10, 8, 6
_LARGEST_TURN = 0.35
_CHUNK = 256
_FROZEN = 1e12


class LandmarkFit(NamedTuple):
    """Coefficients (texture and light 0), placement, and each frame's mean landmark distance in normalised units."""

    coefficients: Float[Tensor, "t 257"]
    placement: Float[Tensor, "t 3"]
    error: Float[Tensor, "t"]


@dataclass(frozen=True)
class _Problem:
    """Landmarks to reach, in float64, and the reduced model that should reach them."""

    model: MorphableModel
    target: Float[Tensor, "t 68 2"]
    weights: Float[Tensor, "t 68"]
    placement: Float[Tensor, "t 3"]

    def at(self, frames: Tensor | slice) -> "_Problem":
        return replace(self, target=self.target[frames], weights=self.weights[frames], placement=self.placement[frames])


@dataclass
class _State:
    """Parameters: identity [80] shared, and per frame expression [t, 64] and pose [t, 6] (angle, translation)."""

    identity: Tensor
    expression: Tensor
    pose: Tensor

    def shape(self, model: MorphableModel) -> Float[Tensor, "t 68 3"]:
        return model.shape(self.identity.expand(len(self.expression), -1), self.expression)


def fit_landmarks(
    model: MorphableModel,
    landmarks: Float[Tensor, "t 68 2"],
    weights: Float[Tensor, "t 68"] | Float[Tensor, "68"] | None = None,
    placement: Float[Tensor, "t 3"] | Float[Tensor, "3"] | None = None,
) -> LandmarkFit:
    """Fit `model` to the 68 iBUG landmarks (normalised crop coordinates) of the frames of one person.

    `weights` (default 1, jaw line 0.25) say how much each landmark counts; 0 ignores it. `placement` (default: the
    frame widened about its centre, as in crop `wide-v1`) is kept; the head's place goes to the translation.
    """
    problem = _problem(model, landmarks, weights, placement)
    state = _initial(problem)
    frames = len(problem.target)
    chosen = torch.linspace(0, frames - 1, min(frames, IDENTITY_FRAMES)).round().long()
    state.identity = _joint(problem.at(chosen), _State(state.identity, state.expression[chosen], state.pose[chosen]))
    for start in range(0, frames, _CHUNK):
        part = slice(start, start + _CHUNK)
        local = _State(state.identity, state.expression[part], state.pose[part])
        _each_frame(problem.at(part), local)
        state.expression[part], state.pose[part] = local.expression, local.pose
    return _result(problem, state, landmarks)


def _problem(model: MorphableModel, landmarks: Tensor, weights: Tensor | None, placement: Tensor | None) -> _Problem:
    if not len(landmarks) or not torch.isfinite(landmarks).all():
        raise ValueError("landmarks must be finite and at least one frame: leave out frames without a face first")
    if weights is None:
        weights = torch.ones(NUM_KEYPOINTS)
        weights[JAW] = JAW_WEIGHT
    if placement is None:
        placement = camera.default_placement(1)
    small = keypoint_model(model).to("cpu")
    tensors = {k: getattr(small, k).double() for k in ("mean_shape", "identity_basis", "expression_basis")}
    frames = len(landmarks)
    return _Problem(
        model=replace(small, **tensors),
        target=landmarks.detach().cpu().double(),
        weights=weights.cpu().double().expand(frames, NUM_KEYPOINTS),
        placement=placement.cpu().double().expand(frames, 3),
    )


def _initial(problem: _Problem) -> _State:
    """Frontal mean face, in-plane turn and distance by 2D similarity, then pose alone by Gauss-Newton."""
    frames = len(problem.target)
    model, weights = problem.model, problem.weights[..., None]
    scale, centre = problem.placement[:, None, :1], problem.placement[:, None, 1:]
    seen = (problem.target - centre) / scale * torch.tensor([1.0, -1.0])
    mean_seen = (seen * weights).sum(1) / weights.sum(1)
    mean_model = (model.mean_shape[:, :2] * weights).sum(1) / weights.sum(1)
    a, b = (seen - mean_seen[:, None]).unbind(-1), (model.mean_shape[:, :2] - mean_model[:, None]).unbind(-1)
    w = problem.weights
    along, across = (w * (a[0] * b[0] + a[1] * b[1])).sum(1), (w * (a[1] * b[0] - a[0] * b[1])).sum(1)
    size = torch.hypot(along, across) / (w * (b[0] ** 2 + b[1] ** 2)).sum(1)
    distance = camera.NDC_FOCAL / size
    pose = torch.zeros(frames, 6, dtype=torch.float64)
    pose[:, 2] = torch.atan2(across, along)
    pose[:, 3:5] = mean_seen * distance[:, None] / camera.NDC_FOCAL - _turned(mean_model, pose[:, 2])
    pose[:, 5] = camera.CAMERA_DISTANCE - distance
    state = _State(
        identity=torch.zeros(len(model.identity_basis), dtype=torch.float64),
        expression=torch.zeros(frames, len(model.expression_basis), dtype=torch.float64),
        pose=pose,
    )
    for _ in range(POSE_STEPS):
        residual, jacobian = _linearise(problem, state)
        jacobian = jacobian[..., -6:]
        square, pull = _normal_equations(problem, residual, jacobian)
        _turn(state, torch.linalg.solve(square + 1e-6 * torch.eye(6), pull))
    return state


def _turned(points: Tensor, angle: Tensor) -> Tensor:
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([cos * points[:, 0] - sin * points[:, 1], sin * points[:, 0] + cos * points[:, 1]], dim=-1)


def _joint(problem: _Problem, state: _State) -> Tensor:
    """Identity shared by all frames of `problem`, with each frame's expression and pose eliminated in every step."""
    num = len(state.identity)
    for _ in range(JOINT_STEPS):
        residual, jacobian = _linearise(problem, state)
        square, pull = _normal_equations(problem, residual, jacobian)
        _add_frame_priors(problem.model, square[:, num:, num:], pull[:, num:], state)
        inner = torch.linalg.cholesky(square[:, num:, num:])
        cross, own = square[:, num:, :num], pull[:, num:, None]
        solved = torch.cholesky_solve(torch.cat([cross, own], dim=-1), inner)
        shared = (square[:, :num, :num] - cross.mT @ solved[..., :num]).sum(0) + torch.eye(num)
        right = (pull[:, :num] - (cross.mT @ solved[..., num:])[..., 0]).sum(0) - state.identity
        step = torch.linalg.solve(shared, right)
        state.identity = (state.identity + step).clamp(*FREE_RANGE)
        _move(problem.model, state, solved[..., num] - solved[..., :num] @ step)
    return state.identity


def _each_frame(problem: _Problem, state: _State) -> None:
    """Expression and pose of each frame for a given identity, in place."""
    num = len(state.identity)
    for _ in range(FRAME_STEPS):
        residual, jacobian = _linearise(problem, state)
        square, pull = _normal_equations(problem, residual, jacobian[..., num:])
        _add_frame_priors(problem.model, square, pull, state)
        _move(problem.model, state, torch.cholesky_solve(pull[..., None], torch.linalg.cholesky(square))[..., 0])


def _linearise(problem: _Problem, state: _State) -> tuple[Tensor, Tensor]:
    """Residual [t, 68, 2] and its Jacobian [t, 68, 2, 80 + 64 + 6] to identity, expression, angle and translation."""
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


def _normal_equations(problem: _Problem, residual: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
    """J^T W J [t, n, n] and J^T W r [t, n], with Huber weights at the present residual."""
    distance = residual.norm(dim=-1)
    weights = problem.weights / NOISE**2 * (OUTLIER / distance.clamp(min=OUTLIER))
    weighted = (jacobian * weights[..., None, None]).flatten(1, 2)
    return weighted.mT @ jacobian.flatten(1, 2), (weighted.mT @ residual.flatten(1)[..., None])[..., 0]


def _add_frame_priors(model: MorphableModel, square: Tensor, pull: Tensor, state: _State) -> None:
    """Add the expression prior (and hold fast what would leave its range) and a trace of damping on the pose."""
    num = state.expression.shape[1]
    low, high, deviation = _expression_prior(model)
    pull[:, :num] -= state.expression / deviation**2
    leaving = ((state.expression <= low) & (pull[:, :num] < 0)) | ((state.expression >= high) & (pull[:, :num] > 0))
    diagonal = torch.diagonal(square, dim1=-2, dim2=-1)
    diagonal[:, :num] += torch.where(leaving, _FROZEN, 1 / deviation**2)
    diagonal[:, num:] += 1e-6


def _expression_prior(model: MorphableModel) -> tuple[Tensor, Tensor, Tensor]:
    """Lowest and highest value and prior deviation of each expression coefficient."""
    names = model.expression_names or ("",) * len(model.expression_basis)
    named = torch.tensor([bool(name) and not name.startswith("residual") for name in names])
    low = torch.where(named, NAMED_RANGE[0], FREE_RANGE[0]).double()
    high = torch.where(named, NAMED_RANGE[1], FREE_RANGE[1]).double()
    return low, high, torch.where(named, NAMED_DEVIATION, FREE_DEVIATION).double()


def _move(model: MorphableModel, state: _State, step: Tensor) -> None:
    low, high, _ = _expression_prior(model)
    num = state.expression.shape[1]
    state.expression = torch.minimum(torch.maximum(state.expression + step[:, :num], low), high)
    _turn(state, step[:, num:])


def _turn(state: _State, step: Tensor) -> None:
    """Add a pose step, its turn limited so that far starts converge."""
    largest = step[:, :3].abs().amax(-1, keepdim=True)
    state.pose = state.pose + step * (_LARGEST_TURN / largest.clamp(min=_LARGEST_TURN))


def _result(problem: _Problem, state: _State, like: Tensor) -> LandmarkFit:
    model, frames = problem.model, len(problem.target)
    points = state.shape(model)
    seen, _ = camera.project(points, state.pose[:, :3], state.pose[:, 3:], problem.placement)
    error = (seen - problem.target).norm(dim=-1).mean(-1)

    def padded(values: Tensor, length: int) -> Tensor:
        return torch.nn.functional.pad(values[..., :length], (0, max(0, length - values.shape[-1])))

    parts = Coefficients(
        identity=padded(state.identity, 80).expand(frames, 80),
        expression=padded(state.expression, 64),
        texture=torch.zeros(frames, 80),
        angle=state.pose[:, :3],
        gamma=torch.zeros(frames, 27),
        translation=state.pose[:, 3:],
    )
    return LandmarkFit(join(parts).to(like), problem.placement.to(like), error.to(like))
