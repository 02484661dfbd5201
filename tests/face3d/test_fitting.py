"""Landmark fitting: what made the landmarks is found again, through noise, outliers and turned heads."""

from dataclasses import replace

import pytest
import torch

from face3d import camera
from face3d.fitting import fit_landmarks
from face3d.keypoints import STANDARD_FIVE
from face3d.morphable import MorphableModel

NAMES = tuple(f"movement_{k}" for k in range(6))


@pytest.fixture(scope="module")
def sparse_head() -> MorphableModel:
    """68 points of a face's size and depth; 10 identity axes, 6 named movements of one region each."""
    generator = torch.Generator().manual_seed(2)
    points = torch.rand(68, 3, generator=generator) * torch.tensor([1.4, 1.6, 0.0]) - torch.tensor([0.7, 0.8, 0.0])
    points[:, 2] = 0.5 - 0.6 * points[:, :2].square().sum(1)
    expression = torch.zeros(6, 68, 3)
    for axis, turn in enumerate(torch.arange(6.0)):
        direction = torch.stack([torch.cos(turn), torch.sin(turn), torch.tensor(0.3)])
        expression[axis, 8 * axis + 10 : 8 * axis + 20] = 0.15 * direction
    return MorphableModel(
        name="points",
        mean_shape=points,
        identity_basis=0.02 * torch.randn(10, 68, 3, generator=generator),
        expression_basis=expression,
        mean_texture=torch.zeros(68, 3),
        texture_basis=torch.zeros(80, 68, 3),
        triangles=torch.zeros(0, 3, dtype=torch.long),
        keypoints=torch.arange(68),
        expression_names=NAMES,
    )


def clip(model: MorphableModel, frames: int, seed: int = 0, turn: float = 0.2):
    """Random truth of one person: identity [10], expression [t, 6] in 0..1, angle, translation; and its landmarks."""
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randn(10, generator=generator)
    expression = torch.rand(frames, 6, generator=generator)
    angle = torch.randn(frames, 3, generator=generator) * turn
    translation = torch.randn(frames, 3, generator=generator) * torch.tensor([0.2, 0.2, 0.3])
    points = model.shape(identity.expand(frames, -1), expression)
    landmarks, _ = camera.project(points, angle, translation, camera.default_placement(frames))
    return identity, expression, angle, translation, landmarks


def test_clean_landmarks_give_back_what_made_them(sparse_head):
    identity, expression, angle, translation, landmarks = clip(sparse_head, 30)
    fit = fit_landmarks(sparse_head, landmarks)
    assert fit.coefficients.shape == (30, 257)
    assert fit.error.max() < 0.004
    assert (fit.coefficients[:, 224:227] - angle).abs().max() < 0.03
    assert (fit.coefficients[:, 80:86] - expression).abs().mean() < 0.06
    assert torch.corrcoef(torch.stack([fit.coefficients[0, :10], identity]))[0, 1] > 0.9
    assert (fit.coefficients[:, 254:256] - translation[:, :2]).abs().max() < 0.05
    assert (fit.coefficients[:, :80] == fit.coefficients[:1, :80]).all()
    assert (fit.coefficients[:, 144:224] == 0).all()
    assert (fit.coefficients[:, 227:254] == 0).all()


def test_noise_and_outliers_hardly_move_the_pose(sparse_head):
    _, _, angle, _, landmarks = clip(sparse_head, 20, seed=1)
    noisy = landmarks + 0.005 * torch.randn(landmarks.shape, generator=torch.Generator().manual_seed(5))
    noisy[:, ::12] += 0.4
    fit = fit_landmarks(sparse_head, noisy)
    assert (fit.coefficients[:, 224:227] - angle).abs().mean() < 0.03


@pytest.mark.parametrize("angle", [(0.0, 1.0, 0.0), (0.5, -0.8, 0.3), (0.0, 0.0, 1.5), (0.0, 0.0, 3.0)])
def test_turned_heads_are_found_from_one_frame(sparse_head, angle):
    turned = torch.tensor([angle])
    shape = sparse_head.mean_shape[None]
    landmarks, _ = camera.project(shape, turned, torch.tensor([[0.1, 0.1, -1.0]]), camera.default_placement(1))
    fit = fit_landmarks(sparse_head, landmarks)
    assert fit.error.item() < 0.002
    torch.testing.assert_close(fit.coefficients[:, 224:227], turned, atol=0.03, rtol=0)


def test_ignored_landmarks_do_not_count(sparse_head):
    *_, landmarks = clip(sparse_head, 4)
    spoiled = landmarks.clone()
    spoiled[:, :17] = 9.0
    weights = torch.ones(68)
    weights[:17] = 0
    one, other = (fit_landmarks(sparse_head, each, weights=weights) for each in (landmarks, spoiled))
    torch.testing.assert_close(one.coefficients, other.coefficients)


def test_movements_stay_in_their_range(sparse_head):
    *_, landmarks = clip(sparse_head, 3)
    wild = landmarks + 0.1 * torch.randn(landmarks.shape, generator=torch.Generator().manual_seed(7))
    expression = fit_landmarks(sparse_head, wild).coefficients[:, 80:86]
    assert expression.min() >= 0
    assert expression.max() <= 1.25


def test_a_fit_does_not_depend_on_the_crop(sparse_head):
    """The same landmarks seen in a shifted and scaled crop, with that crop's placement: the same head."""
    *_, landmarks = clip(sparse_head, 3)
    placement = camera.default_placement(3)
    moved = torch.cat([placement[:, :1] * 0.9, placement[:, 1:] + 0.1], dim=1)
    one = fit_landmarks(sparse_head, landmarks)
    other = fit_landmarks(sparse_head, landmarks * 0.9 + 0.1, placement=moved)
    assert torch.equal(other.placement, moved)
    torch.testing.assert_close(one.coefficients, other.coefficients, atol=0.05, rtol=0.05)


def test_a_statistical_basis_is_fitted_both_ways(sparse_head):
    """Without names the coefficients are standard deviations and may be negative."""
    model = replace(sparse_head, expression_names=())
    expression = torch.tensor([[-1.0, 1.0, -0.5, 0.5, 0.0, 0.0]])
    points = model.shape(torch.zeros(1, 10), expression)
    landmarks, _ = camera.project(points, torch.zeros(1, 3), torch.zeros(1, 3), camera.default_placement(1))
    found = fit_landmarks(model, landmarks).coefficients[:, 80:86]
    assert (found - expression).abs().max() < 0.3


def test_landmarks_that_are_missing_are_a_programmers_mistake(sparse_head):
    with pytest.raises(ValueError, match="finite"):
        fit_landmarks(sparse_head, torch.full((1, 68, 2), torch.nan))
    with pytest.raises(ValueError, match="at least one frame"):
        fit_landmarks(sparse_head, torch.zeros(0, 68, 2))


def test_standard_points_are_a_face():
    assert STANDARD_FIVE.shape == (5, 3)
    assert STANDARD_FIVE[2, 2] == STANDARD_FIVE[:, 2].max()
