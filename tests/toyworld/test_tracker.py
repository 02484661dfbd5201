"""The model of a monocular tracker: seeded, lossy in the way of a landmark fit, near the fit that it shortens."""

import numpy as np
import pytest
import torch
from jaxtyping import Float32

from datamodules.coefficients import project_keypoints
from face3d.coefficients import ANGLE, EXPRESSION, GAMMA, IDENTITY, NUM_COEFFICIENTS, TEXTURE
from face3d.fitting import fit_landmarks, refit
from face3d.morphable import PROCEDURAL, load_model
from toyworld.face.head import EXPRESSION_NAMES
from toyworld.tracker import CLIP, FRAME, MEMORY, PERSON, landmark_errors, measured

NAMES = ("M001", "happy", "3", "1")
FRAMES = 30


def acted(frames: int = FRAMES) -> tuple[Float32[np.ndarray, "t 257"], Float32[np.ndarray, "t 3"]]:
    """A face that opens its mouth, lowers its brows, smiles, looks aside and turns."""
    random, time = np.random.default_rng(0), np.linspace(0, 2 * np.pi, frames)
    rows = np.zeros((frames, NUM_COEFFICIENTS), np.float32)
    rows[:, IDENTITY], rows[:, TEXTURE] = random.normal(0, 0.5, 80), random.normal(0, 0.5, 80)
    rows[:, GAMMA] = 0.1
    rows[:, ANGLE.start] = 0.1 * np.sin(time)
    for name, phase in (
        ("jaw_open", 0.0),
        ("brow_lowerer_left", 1.0),
        ("lip_corner_puller_left", 2.0),
        ("gaze_left", 3),
    ):
        rows[:, EXPRESSION.start + EXPRESSION_NAMES.index(name)] = 0.5 + 0.5 * np.sin(time + phase)
    return rows, np.tile(np.array([0.7, 0, 0], np.float32), (frames, 1))


def axis(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, EXPRESSION][:, EXPRESSION_NAMES.index(name)]


def test_what_is_measured_follows_seed_and_clip() -> None:
    rows, places = acted(6)
    first = measured(rows, places, 0, NAMES)
    assert np.array_equal(first, measured(rows, places, 0, NAMES))
    assert not np.array_equal(first, measured(rows, places, 1, NAMES))
    assert not np.array_equal(first, measured(rows, places, 0, (*NAMES[:3], "2")))


def test_landmarks_lose_gaze_shrink_movements_and_leave_skin_and_light() -> None:
    rows, places = acted()
    found = measured(rows, places, 0, NAMES)
    assert np.array_equal(found[:, TEXTURE], rows[:, TEXTURE])
    assert np.array_equal(found[:, GAMMA], rows[:, GAMMA])
    assert axis(found, "gaze_left").std() < 0.05
    for name, least, most in (
        ("jaw_open", 0.7, 1.2),
        ("brow_lowerer_left", 0.1, 0.9),
        ("lip_corner_puller_left", 0.1, 1),
    ):
        true, got = axis(rows, name), axis(found, name)
        assert least < np.polyfit(true, got, 1)[0] < most, name
        assert np.corrcoef(true, got)[0, 1] > 0.6, name
    angle_error = (found - rows)[:, ANGLE]
    assert 1e-4 < np.abs(angle_error).mean() < 0.05
    assert np.abs((found - rows)[:, IDENTITY]).mean() > 0.05


def test_errors_of_landmarks_have_the_stated_deviations() -> None:
    people = np.stack([landmark_errors(2000, 0, (f"M{i:03d}", "clip")) for i in range(12)])
    still = people.mean(1)
    expected = [np.hypot(PERSON["mouth"][k], CLIP["mouth"][k]) for k in range(2)]
    assert still[:, 48:].std((0, 1)) == pytest.approx(expected, rel=0.2)
    moving = people - still[:, None]
    assert moving[:, :, 48:].std((0, 1, 2)) == pytest.approx(FRAME["mouth"], rel=0.1)
    assert (moving[:, 1:] * moving[:, :-1]).mean() / np.square(moving).mean() == pytest.approx(MEMORY, abs=0.05)


def test_the_short_fit_is_near_the_whole_one() -> None:
    rows, places = acted(12)
    model, truth = load_model(PROCEDURAL), torch.from_numpy(rows)
    noise = torch.randn(12, 68, 2, generator=torch.Generator().manual_seed(0)) * 0.003
    landmarks = torch.from_numpy(project_keypoints(PROCEDURAL, rows, places)) + noise
    short = refit(model, landmarks, torch.from_numpy(places), truth)
    whole = fit_landmarks(model, landmarks, placement=torch.from_numpy(places))
    one, other = short.coefficients[:, EXPRESSION].flatten(), whole.coefficients[:, EXPRESSION].flatten()
    assert float(torch.corrcoef(torch.stack([one, other]))[0, 1]) > 0.95
    assert float((short.error - whole.error).abs().max()) < 0.004
