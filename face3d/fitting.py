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

from face3d import camera
from face3d.coefficients import Coefficients, join, split
from face3d.fitting_problem import Problem, State
from face3d.fitting_steps import frame_step, initial_state, solve_identity
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
