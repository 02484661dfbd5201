"""Coefficients from landmarks: pose, a shared identity and each frame's expression, by damped Gauss-Newton.

Least squares on the 68 landmarks with priors on the coefficients and Huber weights against outliers. Identity is found
jointly on a spread of frames (the frames' own parameters eliminated by Schur complement), and with it a constant bias
of each landmark, since a detector's landmarks are not exactly the model's; then every frame is solved for itself, all
in one batch. Texture and light cannot be seen in landmarks and stay 0.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from face3d import camera, kernels
from face3d.coefficients import Coefficients, join, split
from face3d.fitting_problem import (
    FREE_RANGE,
    Problem,
    State,
    add_frame_priors,
    cost,
    expression_prior,
    linearise,
    normal_equations,
)
from face3d.keypoints import JAW, NUM_KEYPOINTS
from face3d.morphable import MorphableModel, keypoint_model

JAW_WEIGHT = 0.25
"""The jaw line slides over the skin as the head turns: it counts less."""

IDENTITY_FRAMES, FRAME_STEPS = 24, 5
REFIT_FRAMES, REFIT_STEPS = 8, 2
_CHUNK = 256


class LandmarkFit(NamedTuple):
    """Coefficients (texture and light 0), placement, and each frame's mean landmark distance in normalised units.

    The distance is what remains after each landmark's constant bias, so it measures the frame and not the detector.
    """

    coefficients: Float[Tensor, "t 257"]
    placement: Float[Tensor, "t 3"]
    error: Float[Tensor, "t"]


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
    state = initial_state(problem)
    frames = len(problem.target)
    chosen = torch.linspace(0, frames - 1, min(frames, IDENTITY_FRAMES)).round().long()
    state.identity = solve_identity(
        problem.at(chosen), State(state.identity, state.expression[chosen], state.pose[chosen])
    )
    for start in range(0, frames, _CHUNK):
        part = slice(start, start + _CHUNK)
        local = State(state.identity, state.expression[part], state.pose[part])
        for _ in range(FRAME_STEPS):
            frame_step(problem.at(part), local)
        state.expression[part], state.pose[part] = local.expression, local.pose
    return _result(problem, state, landmarks)


def refit(
    model: MorphableModel, landmarks: Float[Tensor, "t 68 2"], placement: Float[Tensor, "t 3"], start: Tensor
) -> LandmarkFit:
    """The fit to landmarks from coefficients `start` [t, 257] that are nearly right: a step or two instead of many.

    Where landmarks are those of `start` and some noise, the result is that of `fit_landmarks` but for what has several
    solutions.
    """
    problem, parts = _problem(model, landmarks, None, placement), split(start.detach().cpu().double())
    num_identity, num_expression = min(80, len(model.identity_basis)), min(64, len(model.expression_basis))
    identity = F.pad(parts.identity.mean(0)[:num_identity], (0, 2 * NUM_KEYPOINTS))
    pose = torch.cat([parts.angle, parts.translation], dim=1)
    state = State(identity, parts.expression[:, :num_expression].clone(), pose)
    frames = len(problem.target)
    chosen = torch.linspace(0, frames - 1, min(frames, REFIT_FRAMES)).round().long()
    local = State(state.identity, state.expression[chosen], state.pose[chosen])
    state.identity = solve_identity(problem.at(chosen), local, REFIT_STEPS)
    for _ in range(REFIT_STEPS):
        frame_step(problem, state)
    return _result(problem, state, landmarks)


def _problem(model: MorphableModel, landmarks: Tensor, weights: Tensor | None, placement: Tensor | None) -> Problem:
    if not len(landmarks) or not torch.isfinite(landmarks).all():
        raise ValueError("landmarks must be finite and at least one frame: leave out frames without a face first")
    if weights is None:
        weights = torch.ones(NUM_KEYPOINTS)
        weights[JAW] = JAW_WEIGHT
    if placement is None:
        placement = camera.default_placement(1)
    small = keypoint_model(model).to("cpu")
    identity, expression = small.identity_basis[:80].double(), small.expression_basis[:64].double()
    widened = torch.cat([identity, small.keypoint_deviation * _bias_axes()])
    frames = len(landmarks)
    return Problem(
        model=replace(small, mean_shape=small.mean_shape.double(), identity_basis=widened, expression_basis=expression),
        target=landmarks.detach().cpu().double(),
        weights=weights.cpu().double().expand(frames, NUM_KEYPOINTS),
        placement=placement.cpu().double().expand(frames, 3),
    )


def _bias_axes() -> Float[Tensor, "136 68 3"]:
    """One axis for each landmark's own x and y."""
    return torch.eye(2 * NUM_KEYPOINTS, dtype=torch.float64).view(-1, NUM_KEYPOINTS, 2) @ torch.eye(2, 3).double()


def _result(problem: Problem, state: State, like: Tensor) -> LandmarkFit:
    model, frames = problem.model, len(problem.target)
    points = state.shape(model)
    seen, _ = camera.project(points, state.pose[:, :3], state.pose[:, 3:], problem.placement)
    error = (seen - problem.target).norm(dim=-1).mean(-1)
    identity = state.identity[: -2 * NUM_KEYPOINTS]

    def padded(values: Tensor, length: int) -> Tensor:
        return F.pad(values[..., :length], (0, max(0, length - values.shape[-1])))

    parts = Coefficients(
        identity=padded(identity, 80).expand(frames, 80),
        expression=padded(state.expression, 64),
        texture=torch.zeros(frames, 80),
        angle=state.pose[:, :3],
        gamma=torch.zeros(frames, 27),
        translation=state.pose[:, 3:],
    )
    return LandmarkFit(join(parts).to(like), problem.placement.to(like), error.to(like))


POSE_STEPS, JOINT_STEPS, BOX_SWEEPS = 10, 6, 40
_LARGEST_TURN = 0.35
_STEP_SHARES = (1.0, 0.6, 0.3, 0.1, 0.0)
_FROZEN = 1e12


def initial_state(problem: Problem) -> State:
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
    state = State(
        identity=torch.zeros(len(model.identity_basis), dtype=torch.float64),
        expression=torch.zeros(frames, len(model.expression_basis), dtype=torch.float64),
        pose=pose,
    )
    for _ in range(POSE_STEPS):
        residual, jacobian = linearise(problem, state)
        jacobian = jacobian[..., -6:]
        square, pull = normal_equations(problem, residual, jacobian)
        turn_by(state, torch.linalg.solve(square + 1e-6 * torch.eye(6), pull))
    return state


def _turned(points: Tensor, angle: Tensor) -> Tensor:
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([cos * points[:, 0] - sin * points[:, 1], sin * points[:, 0] + cos * points[:, 1]], dim=-1)


def solve_identity(problem: Problem, state: State, steps: int = JOINT_STEPS) -> Tensor:
    """Identity shared by all frames of `problem`, with each frame's expression and pose eliminated in every step.

    The frames count as one observation: landmarks err alike in all frames of a person, so more frames are no proof.
    """
    num = len(state.identity)
    for _ in range(steps):
        frame_step(problem, state)
        residual, jacobian = linearise(problem, state)
        square, pull = normal_equations(problem, residual, jacobian)
        add_frame_priors(problem.model, square[:, num:, num:], pull[:, num:], state)
        _hold_bounds(problem.model, square[:, num:, num:], pull[:, num:], state)
        cross, own = square[:, num:, :num], pull[:, num:, None]
        solved = torch.linalg.solve(square[:, num:, num:], torch.cat([cross, own], dim=-1))
        shared = (square[:, :num, :num] - cross.mT @ solved[..., :num]).mean(0) + torch.eye(num)
        right = (pull[:, :num] - (cross.mT @ solved[..., num:])[..., 0]).mean(0) - state.identity
        step = torch.linalg.solve(shared, right)
        state = _best_step(problem, state, step, solved[..., num] - solved[..., :num] @ step)
    return state.identity


def _best_step(problem: Problem, state: State, identity_step: Tensor, frame_step: Tensor) -> State:
    """The best of some shares of a joint step, whose linear model ignores the ranges."""
    trials = []
    for share in _STEP_SHARES:
        trial = State((state.identity + share * identity_step).clamp(*FREE_RANGE), state.expression, state.pose)
        _move(problem.model, trial, share * frame_step)
        trials.append(trial)
    costs = [cost(problem, trial).item() for trial in trials]
    return trials[costs.index(min(costs))]


def frame_step(problem: Problem, state: State) -> None:
    """One Gauss-Newton step of each frame's expression (within its range) and pose, identity given, in place."""
    residual, jacobian = linearise(problem, state)
    square, pull = normal_equations(problem, residual, jacobian[..., len(state.identity) :])
    prior, num = add_frame_priors(problem.model, square, pull, state), state.expression.shape[1]
    cross = square[:, num:, :num]
    solved = torch.linalg.solve(square[:, num:, num:], torch.cat([cross, pull[:, num:, None]], dim=-1))
    reduced = square[:, :num, :num] - cross.mT @ solved[..., :num]
    right = pull[:, :num] - (cross.mT @ solved[..., num:])[..., 0]
    low, high = prior.low - state.expression, prior.high - state.expression
    step = torch.zeros_like(right)
    kernels.solve_in_box(*(t.contiguous().numpy() for t in (reduced, right, low, high, step)), BOX_SWEEPS)
    _move(problem.model, state, torch.cat([step, solved[..., num] - (solved[..., :num] @ step[..., None])[..., 0]], 1))


def _hold_bounds(model: MorphableModel, square: Tensor, pull: Tensor, state: State) -> None:
    """Hold fast the expression coefficients that lie at an end of their range and are pulled beyond it."""
    prior, num = expression_prior(model), state.expression.shape[1]
    leaving = (state.expression <= prior.low) & (pull[:, :num] < 0)
    leaving |= (state.expression >= prior.high) & (pull[:, :num] > 0)
    torch.diagonal(square, dim1=-2, dim2=-1)[:, :num] += torch.where(leaving, _FROZEN, 0.0)


def _move(model: MorphableModel, state: State, step: Tensor) -> None:
    prior, num = expression_prior(model), state.expression.shape[1]
    state.expression = torch.minimum(torch.maximum(state.expression + step[:, :num], prior.low), prior.high)
    turn_by(state, step[:, num:])


def turn_by(state: State, step: Tensor) -> None:
    """Add a pose step, its turn limited so that far starts converge."""
    largest = step[:, :3].abs().amax(-1, keepdim=True)
    state.pose = state.pose + step * (_LARGEST_TURN / largest.clamp(min=_LARGEST_TURN))
