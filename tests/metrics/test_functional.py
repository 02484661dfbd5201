"""Metrics as functions against plain loops: features, images, landmarks, naturalness."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg
from scipy.spatial.distance import cosine
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import accuracy_score
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from metrics.functional import features, image, landmarks
from metrics.functional.features import frechet_distance
from metrics.functional.landmarks import landmark_distance
from metrics.speech_features import LEAST_SILENCE, loudness, voiced


def random_features(seed: int, n: int = 6, d: int = 9) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_efd_is_the_mean_cosine_distance_of_scipy():
    a, b = random_features(0), random_features(1)
    expected = np.mean([cosine(x, y) for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True)])
    assert float(features.emotion_feature_distance(a, b)) == pytest.approx(expected, abs=1e-6)
    assert float(features.emotion_feature_distance(a, 3 * a)) == pytest.approx(0, abs=1e-6)


def test_csim_against_frames_and_against_one_portrait():
    a, b = random_features(0), random_features(1)
    expected = np.mean([1 - cosine(x, y) for x, y in zip(a.double().numpy(), b.double().numpy(), strict=True)])
    assert float(features.cosine_similarity_of_identity(a, b)) == pytest.approx(expected, abs=1e-6)
    against_one = np.mean([1 - cosine(x, b[0].double().numpy()) for x in a.double().numpy()])
    assert float(features.cosine_similarity_of_identity(a, b[:1])) == pytest.approx(against_one, abs=1e-6)


def test_emotion_accuracy_is_that_of_sklearn():
    probabilities = random_features(2, 50, 8).softmax(dim=1)
    emotions = torch.randint(0, 8, (50,), generator=torch.Generator().manual_seed(0))
    expected = accuracy_score(emotions, probabilities.argmax(dim=1))
    assert float(features.emotion_accuracy(probabilities, emotions)) == pytest.approx(expected)


def reference_frechet(a: np.ndarray, b: np.ndarray) -> float:
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)


def test_frechet_distance_against_scipy_and_torch_fidelity():
    a, b = random_features(3, 300, 16) * 1.5 + 0.2, random_features(4, 200, 16)
    found = frechet_distance(a, b)
    assert float(found) == pytest.approx(reference_frechet(a.double().numpy(), b.double().numpy()), rel=1e-6)
    statistics = fid_features_to_statistics(a), fid_features_to_statistics(b)
    fidelity = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert float(found) == pytest.approx(fidelity, rel=1e-5)


def test_frechet_distance_of_a_set_to_itself_is_zero():
    a = random_features(7, 30, 12)
    assert float(frechet_distance(a, a)) == pytest.approx(0, abs=1e-4)


@pytest.fixture
def clips() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    true = torch.rand(4, 3, 40, 32, generator=generator) * 2 - 1
    noise = torch.tensor([0.02, 0.1, 0.3, 0.6])[:, None, None, None]
    return (true + noise * torch.randn(true.shape, generator=generator)).clamp(-1, 1), true


def unit(frame: torch.Tensor) -> np.ndarray:
    return ((frame + 1) / 2).permute(1, 2, 0).double().numpy()


def test_psnr_is_the_mean_of_frame_values(clips):
    expected = [peak_signal_noise_ratio(unit(t), unit(g), data_range=1) for g, t in zip(*clips, strict=True)]
    assert float(image.psnr(*clips)) == pytest.approx(np.mean(expected), abs=1e-4)


def test_pooled_psnr_is_another_number(clips):
    pooled = peak_signal_noise_ratio(unit(clips[1].flatten(0, 1)), unit(clips[0].flatten(0, 1)), data_range=1)
    assert float(image.psnr(*clips)) - pooled > 4


def test_equal_frames_have_a_finite_psnr(clips):
    assert float(image.psnr(clips[1], clips[1])) == pytest.approx(image.PSNR_CEILING)


def test_ssim_is_that_of_skimage(clips):
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    expected = [structural_similarity(unit(t), unit(g), channel_axis=2, **options) for g, t in zip(*clips, strict=True)]
    np.testing.assert_allclose(image.frame_ssim(*clips), expected, atol=1e-4)
    assert float(image.ssim(clips[1], clips[1])) == pytest.approx(1)


def test_ssim_refuses_frames_smaller_than_its_window():
    with pytest.raises(ValueError, match="11"):
        image.ssim(torch.zeros(1, 3, 8, 64), torch.zeros(1, 3, 8, 64))


def test_ssim_of_a_large_frame_is_that_of_skimage_whatever_the_strips(monkeypatch):
    generator = torch.Generator().manual_seed(1)
    true = torch.rand(1, 3, 61, 50, generator=generator) * 2 - 1
    made = (true + 0.3 * torch.randn(true.shape, generator=generator)).clamp(-1, 1)
    expected = image.ssim(made, true)
    for rows in (11, 12, 20, 33, 61):
        monkeypatch.setattr(image, "STRIP", rows * 50)
        torch.testing.assert_close(image.ssim(made, true), expected)


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
