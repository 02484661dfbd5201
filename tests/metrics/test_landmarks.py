import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from metrics.functional.landmarks import landmark_distance


def random_landmarks(seed: int) -> torch.Tensor:
    return torch.rand(5, 68, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("region", "rows"), [("mouth", range(48, 68)), ("face", range(68))])
def test_lmd_against_plain_loops(region, rows):
    generated, true = random_landmarks(0), random_landmarks(1)
    total = 0.0
    for found, wanted in zip(generated.numpy().astype(float), true.numpy().astype(float), strict=True):
        found, wanted = found[list(rows)] * 112, wanted[list(rows)] * 112
        found, wanted = found - found.mean(0), wanted - wanted.mean(0)
        total += np.mean([np.hypot(*(a - b)) for a, b in zip(found, wanted, strict=True)])
    assert float(landmark_distance(generated, true, 224, region)) == pytest.approx(total / 5, rel=1e-5)


@given(x=st.floats(-1, 1), y=st.floats(-1, 1))
def test_moving_the_whole_face_costs_nothing(x, y):
    landmarks = random_landmarks(2)
    assert float(landmark_distance(landmarks + torch.tensor([x, y]), landmarks, 256)) < 1e-3


def test_opening_the_mouth_costs_its_size_in_pixels():
    true = random_landmarks(3)
    opened = true.clone()
    opened[:, 54:60, 1] += 2 / 256
    opened[:, 64:68, 1] += 2 / 256
    assert float(landmark_distance(opened, true, 256)) == pytest.approx(0.5, rel=1e-3)


def test_frames_without_a_face_are_left_out_and_none_left_is_nan():
    generated, true = random_landmarks(4), random_landmarks(5)
    lost = generated.clone()
    lost[0] = torch.nan
    assert float(landmark_distance(lost, true, 256)) == pytest.approx(
        float(landmark_distance(generated[1:], true[1:], 256)), rel=1e-6
    )
    assert landmark_distance(torch.full_like(true, torch.nan), true, 256).isnan()
