import socket

import pytest
import torch
from torch import distributed, multiprocessing

from metrics import clip_means, frechet, functional
from metrics.functional.landmarks import lip_dynamics

CLIPS = 6


def rand(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def sync_pair(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    num = 12 if index == 3 else 20 + index
    return rand(index, num, 8), rand(index, num, 8) + 0.1 * rand(100 + index, num, 8)


ALL = torch.ones(20, dtype=torch.bool)


def points(seed: int, frames: int) -> torch.Tensor:
    return rand(seed, frames, 68, 2)


def talk(seed: int, frames: int = 30) -> tuple[torch.Tensor, ...]:
    voice = torch.arange(frames) % 20 < 10
    return points(seed, frames), points(seed + 50, frames), rand(seed + 7, frames).abs(), voice


CASES = {
    "psnr": (clip_means.FramePSNR, lambda i: (rand(i, 4), ALL[:4]), lambda v, m: v.mean()),
    "ssim": (clip_means.FrameSSIM, lambda i: (rand(i, 4), torch.arange(4) > 0), lambda v, m: v[1:].mean()),
    "lpips": (clip_means.FrameLPIPS, lambda i: (rand(i, 4), ALL[:4]), lambda v, m: v.mean()),
    "lmd": (
        lambda: clip_means.LandmarkDistance(256, "face"),
        lambda i: (points(i, 4 + i), points(i + 50, 4 + i), ALL[: 4 + i]),
        lambda a, b, m: functional.landmark_distance(a, b, 256, "face"),
    ),
    "efd": (
        clip_means.EmotionFeatureDistance,
        lambda i: (rand(i, 4, 9), rand(i + 50, 4, 9), ALL[:4]),
        lambda a, b, m: functional.emotion_feature_distance(a, b),
    ),
    "csim": (
        clip_means.IdentitySimilarity,
        lambda i: (rand(i, 4, 9), rand(i + 50, 4, 9), ALL[:4]),
        lambda a, b, m: functional.cosine_similarity_of_identity(a, b),
    ),
    "csim source": (
        clip_means.SourceSimilarity,
        lambda i: (rand(i, 4, 9), rand(i + 50, 1, 9), ALL[:4]),
        lambda a, b, m: functional.cosine_similarity_of_identity(a, b),
    ),
    "accuracy": (
        clip_means.EmotionAccuracy,
        lambda i: (rand(i, 4, 8), i, ALL[:4]),
        lambda p, e, m: functional.emotion_accuracy(p.mean(0, keepdim=True), torch.tensor([e])),
    ),
    "sync": (clip_means.SyncConfidence, sync_pair, lambda a, v: functional.sync_scores(a, v).confidence),
    "distance": (clip_means.SyncDistance, sync_pair, lambda a, v: functional.sync_scores(a, v).distance),
    "offset": (clip_means.SyncOffset, sync_pair, lambda a, v: functional.sync_scores(a, v).offset),
}
SET_CASES = {
    "lips": (clip_means.LipDynamics, talk),
    "brows": (clip_means.EyebrowDynamics, talk),
    "silent": (clip_means.SilentLips, talk),
    "lip-sync": (clip_means.LipSync, talk),
    "fid": (lambda: frechet.InceptionDistance(12), lambda i: (rand(i, 20, 12), rand(i + 7, 20, 12), ALL)),
    "fvd": (lambda: frechet.VideoDistance(12), lambda i: (rand(i, 20, 12), rand(i + 7, 20, 12))),
    "e-fid": (lambda: frechet.ExpressionDistance(12), lambda i: (rand(i, 20, 12), rand(i + 7, 20, 12), ALL)),
}


@pytest.mark.parametrize("name", CASES)
def test_class_is_the_mean_of_its_functional_twin(name):
    make, clip, twin = CASES[name]
    metric = make()
    for index in range(CLIPS):
        metric.update(*clip(index))
    values = torch.stack([twin(*clip(index)).float() for index in range(CLIPS)])
    alone = torch.stack([make()(*clip(index)) for index in range(CLIPS)])
    torch.testing.assert_close(alone, values, rtol=1e-5, atol=1e-6, equal_nan=True)
    torch.testing.assert_close(metric.compute(), values.nanmean(), rtol=1e-5, atol=1e-6)
    assert int(metric.missing) == int(values.isnan().sum())
    assert int(metric.num_clips) + int(metric.missing) == CLIPS


def test_sync_counts_the_clip_that_is_too_short():
    metric = clip_means.SyncConfidence()
    metric.update(*sync_pair(3))
    assert int(metric.missing) == 1
    assert metric.compute().isnan()


def test_frechet_class_is_its_twin_whatever_the_batches():
    metric = frechet.VideoDistance(12)
    a, b = rand(0, 50, 12), rand(1, 40, 12) + 1
    for part in range(5):
        assert metric(a[part * 10 : part * 10 + 10], b[part * 8 : part * 8 + 8]).isnan()
    torch.testing.assert_close(metric.compute(), functional.frechet_distance(a, b).float(), rtol=1e-4, atol=1e-5)


def test_frechet_class_without_two_frames_or_with_a_broken_network_is_nan():
    metric = frechet.VideoDistance(12)
    metric.update(rand(0, 1, 12), rand(1, 1, 12))
    assert metric.compute().isnan()
    metric.update(rand(0, 9, 12), torch.full((9, 12), torch.nan))
    assert metric.compute().isnan()


def test_naturalness_compares_means_over_clips_not_clips():
    metric = clip_means.LipDynamics()
    for index in range(3):
        metric.update(*talk(index))
    values = [[lip_dynamics(p) for p in talk(index)[:2]] for index in range(3)]
    method, truth = torch.tensor(values).mean(dim=0)
    torch.testing.assert_close(metric.compute(), (1 - (method - truth).abs() / truth).float())


def computed(cases: dict, indices: range) -> dict[str, torch.Tensor]:
    results = {}
    for name, (make, clip, *_) in cases.items():
        metric = make()
        for index in indices:
            metric.update(*clip(index))
        results[name] = metric.compute()
    return results


def score_share(rank: int, port: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save(computed({**CASES, **SET_CASES}, range(rank, CLIPS, 2)), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(score_share, (port, str(tmp_path)), nprocs=2)
    single = computed({**CASES, **SET_CASES}, range(CLIPS))
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), single, rtol=1e-5, atol=1e-5)
