import socket

import pytest
import torch
from torch import distributed, multiprocessing

from metrics import features, frechet, functional, image, landmarks, sync

CLIPS = 6


def rand(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def sync_pair(index: int) -> tuple[torch.Tensor, torch.Tensor]:
    num = 12 if index == 3 else 20 + index
    return rand(index, num, 8), rand(index, num, 8) + 0.1 * rand(100 + index, num, 8)


CASES = {
    "psnr": (image.FramePSNR, lambda i: (rand(i, 3, 3, 16, 16), rand(i + 50, 3, 3, 16, 16)), functional.psnr),
    "ssim": (image.FrameSSIM, lambda i: (rand(i, 3, 3, 16, 16), rand(i + 50, 3, 3, 16, 16)), functional.ssim),
    "lmd": (
        lambda: landmarks.LandmarkDistance(256, "face"),
        lambda i: (rand(i, 4 + i, 68, 2), rand(i + 50, 4 + i, 68, 2)),
        lambda a, b: functional.landmark_distance(a, b, 256, "face"),
    ),
    "efd": (
        features.EmotionFeatureDistance,
        lambda i: (rand(i, 4, 9), rand(i + 50, 4, 9)),
        functional.emotion_feature_distance,
    ),
    "csim": (
        features.IdentitySimilarity,
        lambda i: (rand(i, 4, 9), rand(i + 50, 1, 9)),
        functional.cosine_similarity_of_identity,
    ),
    "accuracy": (
        features.EmotionAccuracy,
        lambda i: (rand(i, 4, 8), i),
        lambda p, e: functional.emotion_accuracy(p.mean(0, keepdim=True), torch.tensor([e])),
    ),
    "lpips": (
        lambda: image.FrameLPIPS([torch.ones(4)]),
        lambda i: ([rand(i, 2, 4, 5, 5)], [rand(i + 50, 2, 4, 5, 5)]),
        lambda a, b: functional.frame_lpips(a, b, [torch.ones(4)]).mean(),
    ),
    "sync": (sync.SyncConfidence, sync_pair, lambda a, v: functional.sync_scores(a, v).confidence),
    "distance": (sync.SyncDistance, sync_pair, lambda a, v: functional.sync_scores(a, v).distance),
    "offset": (sync.SyncOffset, sync_pair, lambda a, v: functional.sync_scores(a, v).offset),
}


@pytest.mark.parametrize("name", CASES)
def test_class_is_the_mean_of_its_functional_twin(name):
    make, clip, twin = CASES[name]
    metric = make()
    for index in range(CLIPS):
        metric.update(*clip(index))
    values = torch.stack([twin(*clip(index)).float() for index in range(CLIPS)])
    torch.testing.assert_close(metric.compute(), values.nanmean(), rtol=1e-5, atol=1e-6)
    assert int(metric.missing) == int(values.isnan().sum())
    assert int(metric.num_clips) + int(metric.missing) == CLIPS


def test_sync_counts_the_clip_that_is_too_short():
    metric = sync.SyncConfidence()
    metric.update(*sync_pair(3))
    assert int(metric.missing) == 1
    assert metric.compute().isnan()


def test_frechet_class_is_its_twin_whatever_the_batches():
    metric = frechet.FrechetDistance(12)
    a, b = rand(0, 50, 12), rand(1, 40, 12) + 1
    for part in range(5):
        metric.update(a[part * 10 : part * 10 + 10], b[part * 8 : part * 8 + 8])
    torch.testing.assert_close(
        metric.compute(), functional.frechet_feature_distance(a, b).float(), rtol=1e-4, atol=1e-5
    )


def test_frechet_class_without_two_frames_is_nan():
    metric = frechet.FrechetDistance(12)
    metric.update(rand(0, 1, 12), rand(1, 1, 12))
    assert metric.compute().isnan()


def score_share(rank: int, port: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    results = {}
    for name, (make, clip, _) in CASES.items():
        metric = make()
        for index in range(rank, CLIPS, 2):
            metric.update(*clip(index))
        results[name] = metric.compute()
    metric = frechet.FrechetDistance(12)
    metric.update(rand(rank, 20, 12), rand(rank + 7, 20, 12))
    results["fid"] = metric.compute()
    torch.save(results, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(score_share, (port, str(tmp_path)), nprocs=2)
    single = {}
    for name, (make, clip, _) in CASES.items():
        metric = make()
        for index in range(CLIPS):
            metric.update(*clip(index))
        single[name] = metric.compute()
    metric = frechet.FrechetDistance(12)
    for rank in range(2):
        metric.update(rand(rank, 20, 12), rand(rank + 7, 20, 12))
    single["fid"] = metric.compute()
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), single, rtol=1e-5, atol=1e-5)
