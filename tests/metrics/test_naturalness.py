"""THEval's landmark metrics against plain loops, and that they move the right way."""

import itertools

import numpy as np
import pytest
import torch

from metrics.functional import landmarks
from metrics.speech_features import LEAST_SILENCE, loudness, voiced


def faces(frames: int = 20, seed: int = 0) -> torch.Tensor:
    """A face that moves a little."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 68, 2, generator=generator) + 0.05 * torch.rand(frames, 68, 2, generator=generator)


def test_lip_dynamics_against_plain_loops() -> None:
    points = faces().double().numpy()
    vectors = []
    for frame in points:
        scale = np.linalg.norm(frame[36] - frame[45])
        lips = frame[48:68]
        vectors.append([np.linalg.norm(a - b) / scale for a, b in itertools.combinations(lips, 2)])
    expected = np.var(vectors, axis=0).mean()
    assert float(landmarks.lip_dynamics(faces())) == pytest.approx(expected, rel=1e-5)


def test_eyebrow_dynamics_against_plain_loops() -> None:
    points = faces().double().numpy()
    changes, before = [], None
    for frame in points:
        eyes = frame[36:42].mean(0), frame[42:48].mean(0)
        scale = np.linalg.norm(eyes[0] - eyes[1])
        pairs = (slice(17, 22), eyes[0]), (slice(22, 27), eyes[1])
        now = [np.linalg.norm(frame[brow].mean(0) - eye) / scale for brow, eye in pairs]
        changes += [] if before is None else [abs(a - b) for a, b in zip(now, before, strict=True)]
        before = now
    assert float(landmarks.eyebrow_dynamics(faces())) == pytest.approx(np.mean(changes), rel=1e-5)


def test_frames_without_a_face_are_left_out() -> None:
    lost = faces().clone()
    lost[4] = torch.nan
    kept = torch.cat([faces()[:4], faces()[5:]])
    torch.testing.assert_close(landmarks.lip_dynamics(lost), landmarks.lip_dynamics(kept))
    assert landmarks.lip_dynamics(torch.full((5, 68, 2), torch.nan)).isnan()


def test_lips_that_move_without_voice_cost_and_lips_that_follow_the_voice_do_not() -> None:
    still = faces(40)[:1].repeat(40, 1, 1)
    level = torch.linspace(0, 6, 40).sin().abs()
    speaking = still.clone()
    for upper, lower in landmarks.INNER_LIPS:
        speaking[:, lower, 1] = still[:, upper, 1] + 0.1 * level
    voice = torch.ones(40, dtype=torch.bool)
    assert float(landmarks.lip_sync(speaking, level, voice)) == pytest.approx(0, abs=1e-4)
    assert float(landmarks.lip_sync(speaking, level.roll(7), voice)) > 0.2
    assert float(landmarks.silent_lips(still, ~voice)) == pytest.approx(0, abs=1e-6)
    assert float(landmarks.silent_lips(speaking, ~voice)) > 0.01
    assert landmarks.silent_lips(speaking, voice).isnan()
    assert landmarks.lip_sync(speaking, level, ~voice).isnan()


def test_closeness_is_thevals_score() -> None:
    values = [float(landmarks.closeness(torch.tensor(m), torch.tensor(2.0))) for m in (2.0, 1.0, 4.0, 8.0)]
    assert values == [1, 0.5, 0, -2]
    assert landmarks.closeness(torch.tensor(1.0), torch.tensor(0.0)).isnan()


def test_voice_is_where_it_is_loud_and_short_pauses_belong_to_it() -> None:
    audio = torch.rand(60 * 640, generator=torch.Generator().manual_seed(0)) - 0.5
    audio[: 10 * 640] = 0
    audio[20 * 640 : 23 * 640] *= 1e-4
    audio[40 * 640 : (40 + LEAST_SILENCE) * 640] *= 1e-4
    expected = torch.ones(60, dtype=torch.bool)
    expected[:10] = expected[40 : 40 + LEAST_SILENCE] = False
    assert torch.equal(voiced(audio, 60), expected)
    assert not voiced(torch.zeros(60 * 640), 60).any()
    assert not voiced(1e-4 * audio, 60).any(), "too quiet for a voice"
    assert float(loudness(torch.ones(640), 2)[0]) == 1
    assert float(loudness(torch.ones(640), 2)[1]) == 0
    assert len(voiced(torch.zeros(0), 0)) == 0
