import numpy as np
import pytest
import torch
from scipy import linalg
from scipy.spatial.distance import cosine
from sklearn.metrics import accuracy_score
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from metrics.functional import features
from metrics.functional.features import frechet_distance


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
