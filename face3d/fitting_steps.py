"""The steps of a landmark fit: first pose, then the shared identity, then each frame within its ranges."""

import torch
from torch import Tensor

from face3d import camera, kernels
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
from face3d.morphable import MorphableModel

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
