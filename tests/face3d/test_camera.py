"""The camera against Deep3DFaceRecon's formulas written out once more in NumPy, float64."""

import numpy as np
import torch

from face3d import camera
from face3d.keypoints import STANDARD_FIVE, five_points


def deep3d_pixels(points, angle, translation):
    """Pixel columns and rows (y up, 224 frame) exactly as the published code computes them, one face."""
    x, y, z = angle
    rot_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    rot_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rot_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    turned = points @ (rot_z @ rot_y @ rot_x).T + translation
    turned[:, 2] = 10.0 - turned[:, 2]
    intrinsics = np.array([[1015.0, 0, 112.0], [0, 1015.0, 112.0], [0, 0, 1]])
    seen = turned @ intrinsics.T
    return seen[:, :2] / seen[:, 2:], turned[:, 2]


def test_matches_the_published_formulas():
    random = np.random.default_rng(0)
    points, angle = random.normal(size=(50, 3)), np.array([0.31, -0.42, 0.17])
    translation = np.array([0.05, -0.11, 0.4])
    pixels, depth = deep3d_pixels(points, angle, translation)
    placement = np.array([0.8, 0.05, -0.02])
    expected = np.stack([pixels[:, 0] / 112 - 1, -(pixels[:, 1] / 112 - 1)], axis=1) * 0.8 + placement[1:]
    arguments = [torch.from_numpy(a) for a in (points, angle, translation, placement)]
    xy, z = camera.project(*arguments)
    np.testing.assert_allclose(xy.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(z.numpy(), depth, atol=1e-12)


def test_a_worked_example():
    """A point 1 dm right, 0.5 up, 0.2 to the front: column 112 + 1015 / 9.8, 223.5 - row = 112 - 507.5 / 9.8."""
    point = torch.tensor([[1.0, 0.5, 0.2]], dtype=torch.float64)
    zero = torch.zeros(3, dtype=torch.float64)
    xy, depth = camera.project(point, zero, zero, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    assert depth.item() == 9.8
    np.testing.assert_allclose((xy[0].numpy() + 1) * 112, [215.57142857, 60.21428571], atol=1e-7)


def test_positive_angles_turn_the_way_deep3d_turns():
    """Pitch moves the nose down, yaw to the right, roll tips the crown to the left (x right, y up)."""
    nose, crown = torch.tensor([[0.0, 0, 1]]), torch.tensor([[0.0, 1, 0]])
    turn = [camera.rotation(torch.eye(3)[k] * 0.3) for k in range(3)]
    assert (nose @ turn[0])[0, 1] < 0
    assert (nose @ turn[1])[0, 0] > 0
    assert (crown @ turn[2])[0, 0] < 0


def test_rotation_is_orthogonal_and_batched():
    angle = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turn = camera.rotation(angle)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand(2, 5, 3, 3))
    torch.testing.assert_close(turn[1, 2], camera.rotation(angle[1, 2]))


def test_the_standard_face_lies_in_the_middle_of_the_frame():
    points = torch.from_numpy(STANDARD_FIVE)
    xy, _ = camera.project(points, torch.zeros(3), torch.zeros(3), torch.tensor([1.0, 0.0, 0.0]))
    assert xy.mean(0).abs().max() < 0.06
    assert 0.5 < xy[1, 0] - xy[0, 0] < 0.65


def test_five_points_are_eyes_nose_and_mouth_corners():
    keypoints = torch.arange(136.0).reshape(68, 2)
    assert five_points(keypoints)[:, 0].tolist() == [75.0, 87.0, 60.0, 96.0, 108.0]
